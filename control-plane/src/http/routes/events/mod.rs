//! Events.

#[cfg(test)]
mod documentation;
pub mod list;
#[cfg(test)]
mod tests;
mod view;
