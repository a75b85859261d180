//! What only the Redis backend has to show: the ancestors' keys and locks, and a server that
//! restarts, forgets, refuses, hangs or hands over. What both backends have in common is in `conformance`.

#![cfg(test)]

mod ancestor;
mod durability;
mod failover;
mod outage;
mod progress;
mod refusal;
mod runnel;
mod secured;
mod site;
mod slot_move;
mod state;
