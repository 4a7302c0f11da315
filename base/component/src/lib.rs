//! What a component is written against.
