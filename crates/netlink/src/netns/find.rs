//! Finds the network namespaces of this host: one by its inode number, as records have it, or all.

use std::collections::HashMap;
use std::collections::HashSet;
use std::iter;
use std::path::PathBuf;

use nix::errno::Errno;

use super::error::Error;
use super::namespace::Namespace;
use super::place;
use super::place::Look;
use super::place::Place;

/// Opens the network namespace with this inode number. Searches the calling thread's own, named
/// and mounted ones, and those of processes, in this order.
///
/// A namespace that only sockets, descriptors or single threads keep alive is not found.
///
/// # Errors
/// [`Error::NotFound`] if it is in none of these places, [`Error::Hidden`] if it may be in one
/// that cannot be read, or another error if opening it fails.
pub fn find(inum: u32) -> Result<Namespace, Error> {
    let own = Namespace::current()?;
    if own.inum() == inum {
        return Ok(own);
    }
    let mut seen = Seen::default();
    for looked in place::usual() {
        match looked {
            Look::Here(place) if place.inum() == inum => match place.open() {
                // A process that has just ended.
                Err(Error::NotFound { .. }) => {}
                opened => return opened,
            },
            looked => {
                seen.note(looked);
            }
        }
    }
    match seen.hidden() {
        0 => Err(Error::NotFound { inum }),
        places => Err(Error::Hidden { inum, places }),
    }
}

/// Every network namespace of this host that [`find`] would find, once each and in the same
/// order: the calling thread's own comes first. The search is lazy.
///
/// Namespaces that are hidden from this process, or end during the search, are left out.
///
/// # Errors
/// An item is an error if a namespace exists and cannot be opened.
pub fn all() -> impl Iterator<Item = Result<Namespace, Error>> {
    let own = Namespace::current();
    let mut seen = HashSet::new();
    seen.extend(own.as_ref().map(Namespace::inum));
    let others = place::usual().filter_map(move |looked| {
        let Look::Here(place) = looked else {
            return None;
        };
        // Most processes share a namespace.
        if seen.contains(&place.inum()) {
            return None;
        }
        let opened = place.open();
        match &opened {
            Ok(namespace) => seen.insert(namespace.inum()).then_some(opened),
            Err(Error::NotFound { .. }) => None,
            Err(error) if is_hidden(error) => None,
            Err(_) => Some(opened),
        }
    });
    iter::once(own).chain(others)
}

/// The namespaces that a search of this host has found.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// A place of each; the calling thread's own namespace is there if a process or a name has it.
    pub places: Vec<Place>,
    /// Places that may not be looked at: each may be of a namespace that is not among the others.
    pub hidden: usize,
}

/// Searches the places of [`find`], opens nothing, and keeps nothing open: who holds a namespace
/// open keeps it alive.
#[must_use]
pub fn survey() -> Survey {
    survey_of(place::usual())
}

/// A [`survey`] that also looks at every thread and descriptor of this host, which takes long. It
/// misses namespaces that only sockets keep alive.
#[must_use]
pub fn full_survey() -> Survey {
    survey_of(place::usual().chain(place::unusual()))
}

fn survey_of(places: impl Iterator<Item = Look>) -> Survey {
    let mut seen = Seen::default();
    let places = places.filter_map(|looked| seen.note(looked)).collect();
    let hidden = seen.hidden();
    Survey { places, hidden }
}

/// What a search has come by.
#[derive(Default)]
struct Seen {
    /// Namespaces, each with the path of a process in it, if one was there.
    namespaces: HashMap<u32, Option<PathBuf>>,
    /// Processes' namespaces that may not be looked at.
    hidden: Vec<PathBuf>,
}

impl Seen {
    /// Takes it in; gives the place back if it is the first of its namespace.
    fn note(&mut self, looked: Look) -> Option<Place> {
        match looked {
            Look::Hidden(path) => {
                self.hidden.push(path);
                None
            }
            Look::Here(place) => {
                let is_new = !self.namespaces.contains_key(&place.inum());
                let process = self.namespaces.entry(place.inum()).or_default();
                if process.is_none() && place.path().starts_with("/proc") {
                    *process = Some(place.path().to_owned());
                }
                is_new.then_some(place)
            }
        }
    }

    /// How many of the hidden may be in a namespace that was not seen.
    fn hidden(&self) -> usize {
        if self.hidden.is_empty() {
            return 0;
        }
        let processes = self.namespaces.values().flatten();
        let marks: HashSet<u64> = processes.filter_map(|path| place::mark(path)).collect();
        let is_seen = |path: &&PathBuf| place::mark(path).is_some_and(|it| marks.contains(&it));
        let hidden = self.hidden.iter();
        hidden.filter(|path| !is_seen(path)).count()
    }
}

fn is_hidden(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::EACCES | Errno::EPERM))
}
