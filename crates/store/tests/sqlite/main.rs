//! What is promised of the embedded store alone: the file, the clock, crashes, several processes.

#![cfg(test)]

mod clock;
mod crash;
mod file;
mod rates;
mod turns;
mod words;
