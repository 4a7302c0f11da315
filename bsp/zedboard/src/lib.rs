//! Facts about the ZedBoard.
