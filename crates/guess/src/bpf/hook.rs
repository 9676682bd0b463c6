//! What can show an event: raw tracepoints, and functions that a kprobe sees called. Each kind of
//! event has several, best first; none of them is needed, since any may be missing, inlined or
//! silent on some kernel. Pure.

use std::fmt;

use crate::fields::Event;

/// A mechanism to be called by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// A raw tracepoint: needs no symbol and no change of kernel text (4.17).
    Tracepoint,
    /// A kprobe at a function's entry.
    Kprobe,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tracepoint => "raw tracepoint",
            Self::Kprobe => "kprobe",
        })
    }
}

/// A place in the kernel that shows an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// The event.
    pub event: Event,
    /// How to get there.
    pub mechanism: Mechanism,
    /// The tracepoint or function.
    pub name: &'static str,
    /// Which of its arguments is the object, from 0.
    pub argument: u32,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.mechanism, self.name)
    }
}

const fn tracepoint(event: Event, name: &'static str, argument: u32) -> Hook {
    Hook {
        event,
        mechanism: Mechanism::Tracepoint,
        name,
        argument,
    }
}

const fn kprobe(event: Event, name: &'static str, argument: u32) -> Hook {
    Hook {
        event,
        mechanism: Mechanism::Kprobe,
        name,
        argument,
    }
}

/// All hooks, per event in the order in which they are tried.
///
/// At each of them the object is complete and not shared yet: a packet has its headers, its socket
/// and its connection; the functions are called through pointers or exported, so that no compiler
/// inlines them, and their arguments have not moved since 5.10.
pub const HOOKS: &[Hook] = &[
    tracepoint(Event::Packet, "net_dev_queue", 0),
    tracepoint(Event::Packet, "net_dev_start_xmit", 0),
    // `ndo_start_xmit` of the device that all our packets leave by.
    kprobe(Event::Packet, "loopback_xmit", 0),
    kprobe(Event::Packet, "dev_hard_start_xmit", 0),
    kprobe(Event::Packet, "netif_skb_features", 0),
    tracepoint(Event::SockState, "inet_sock_set_state", 0),
    kprobe(Event::SockState, "inet_csk_listen_start", 0),
    kprobe(Event::SockState, "inet_csk_get_port", 0),
    kprobe(Event::SockState, "inet_hash", 0),
    tracepoint(Event::Route4, "fib_table_lookup", 1),
    kprobe(Event::Route4, "fib_table_lookup", 1),
    kprobe(Event::Route4, "ip_route_output_key_hash", 1),
    kprobe(Event::Route4, "ip_route_output_flow", 1),
    tracepoint(Event::Route6, "fib6_table_lookup", 3),
    kprobe(Event::Route6, "ip6_route_output_flags", 2),
    kprobe(Event::Route6, "fib6_rule_lookup", 1),
    kprobe(Event::Route6, "ip6_route_output_flags_noref", 2),
];

/// The hooks of an event that a mechanism gives.
pub fn hooks(event: Event, mechanism: Mechanism) -> impl Iterator<Item = &'static Hook> {
    HOOKS
        .iter()
        .filter(move |hook| hook.event == event && hook.mechanism == mechanism)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_tracepoint_and_three_functions() {
        for event in Event::ALL {
            assert!(
                hooks(event, Mechanism::Tracepoint).count() >= 1,
                "{event:?}"
            );
            assert!(hooks(event, Mechanism::Kprobe).count() >= 3, "{event:?}");
        }
    }
}
