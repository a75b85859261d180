//! What only the Redis backend has to show: the ancestors' keys and locks, and a server that
//! restarts, forgets, refuses or hangs. What both backends have in common is in `conformance`.

#![cfg(test)]

mod ancestor;
mod outage;
mod progress;
mod refusal;
mod runnel;
mod site;
