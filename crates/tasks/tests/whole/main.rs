//! Tasks from their enqueueing to their end, in one process on real Redis.

#![cfg(test)]
mod composing;
mod deciding;
mod limits;
mod running;
mod site;
mod stopping;
