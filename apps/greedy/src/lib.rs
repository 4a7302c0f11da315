//! Eats its budget until it is refused.
