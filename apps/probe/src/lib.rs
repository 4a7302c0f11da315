//! Shows each refusal and goes on.
