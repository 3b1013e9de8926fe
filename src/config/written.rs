//! The config file as it is written.
