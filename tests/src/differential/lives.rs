//! The events of one stream as connections: which beginning and which end belong together. Pure.

use std::collections::HashMap;

use super::event::Event;
use super::event::Key;
use super::event::Tuple;
use super::event::What;

/// A connection: its beginning and its end, each with its place in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Where it goes.
    pub reply: Tuple,
    /// The stream's name of it.
    pub id: u64,
    /// Its beginning; none if the stream has none.
    pub new: Option<(usize, Event)>,
    /// Its end; none if the stream has none.
    pub destroy: Option<(usize, Event)>,
}

impl Life {
    fn of(place: usize, event: &Event) -> Self {
        let said = Some((place, event.clone()));
        let (new, destroy) = match event.what {
            What::New => (said, None),
            What::Destroy => (None, said),
        };
        Self {
            reply: event.reply,
            id: event.id,
            new,
            destroy,
        }
    }

    /// Where the stream first says something of it.
    #[must_use]
    pub fn place(&self) -> usize {
        let said = self.new.as_ref().or(self.destroy.as_ref());
        said.map_or(0, |(place, _)| *place)
    }
}

/// The connections of a stream by key, in the order of their first events.
///
/// An end belongs to the last beginning of the same key and the same id that has none yet, whatever reply it names.
#[must_use]
pub fn lives(events: &[Event]) -> HashMap<Key, Vec<Life>> {
    let mut lives: HashMap<Key, Vec<Life>> = HashMap::new();
    for (place, event) in events.iter().enumerate() {
        let known = lives.entry(event.key).or_default();
        let open = known
            .iter_mut()
            .rev()
            .find(|life| life.id == event.id && life.destroy.is_none());
        match (event.what, open) {
            (What::Destroy, Some(life)) => life.destroy = Some((place, event.clone())),
            _ => known.push(Life::of(place, event)),
        }
    }
    lives
}
