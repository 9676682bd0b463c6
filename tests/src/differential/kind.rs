//! A kind of flow: what it needs, what it can be made by, and the function that makes one.

use std::fmt;

use super::flow::Flow;
use super::said::Made;
use super::scene::Scene;
use super::world::Need;

/// A kind of flow.
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    pub(super) has_v6: bool,
    pub(super) has_tcp: bool,
    pub(super) has_udp: bool,
    pub(super) needs: Option<Need>,
    /// A reset ends it: the kernel sends the end before it notes that reply.
    pub(super) is_ended_by_reply: bool,
    pub(super) make: Make,
}

type Make = fn(&Scene, &Flow) -> anyhow::Result<Made>;

impl fmt::Debug for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

/// By both families and both protocols, on every kernel.
pub const fn kind(name: &'static str, make: Make) -> Kind {
    Kind {
        name,
        has_v6: true,
        has_tcp: true,
        has_udp: true,
        needs: None,
        is_ended_by_reply: false,
        make,
    }
}

impl Kind {
    pub(super) const fn v4(self) -> Self {
        let has_v6 = false;
        Self { has_v6, ..self }
    }

    pub(super) const fn udp(self) -> Self {
        let has_tcp = false;
        Self { has_tcp, ..self }
    }

    pub(super) const fn tcp(self) -> Self {
        let has_udp = false;
        Self { has_udp, ..self }
    }

    pub(super) const fn needing(self, need: Need) -> Self {
        let needs = Some(need);
        Self { needs, ..self }
    }

    pub(super) const fn reset(self) -> Self {
        let is_ended_by_reply = true;
        Self {
            is_ended_by_reply,
            ..self
        }
    }
}
