//! Delivery from outside: a real store whose closures all run twice, two organisations, and couriers that do as they are
//! told. Time stands still until a test moves it.

mod accept;
mod group;
mod keys;
mod local;
mod queue;
mod refuse;
mod world;
