//! Each operation
