//! The kernel functions and tracepoints that show an event. Each kind of event has several, best first.
//! None of them is required, because any of them may be missing, inlined or silent on some kernel. Pure.

use std::fmt;

use crate::fields::Event;

/// How the kernel calls a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// A raw tracepoint: needs no symbol and does not change kernel text (4.17).
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
#[derive(Debug, PartialEq, Eq)]
pub struct Hook {
    /// The event.
    pub event: Event,
    /// How it is attached.
    pub mechanism: Mechanism,
    /// The tracepoint or function.
    pub name: &'static str,
    /// The program to attach. It knows which argument is the object.
    pub program: &'static str,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.mechanism, self.name)
    }
}

/// A row: event, mechanism, tracepoint or function, program.
macro_rules! hooks {
    ($($event:ident, $mechanism:ident, $name:literal, $program:literal;)*) => {
        &[$(Hook {
            event: Event::$event,
            mechanism: Mechanism::$mechanism,
            name: $name,
            program: $program,
        },)*]
    };
}

/// All hooks, per event in the order in which they are tried.
///
/// At each of them the object is complete and not shared yet: a packet has its headers, its socket and
/// its connection. The functions are called through pointers or exported, so no compiler inlines them,
/// and their arguments have not moved since 5.10.
pub const HOOKS: &[Hook] = hooks! {
    Packet,    Tracepoint, "net_dev_queue",                "on_trace_packet";
    Packet,    Tracepoint, "net_dev_start_xmit",           "on_trace_packet";
    // `ndo_start_xmit` of the device by which all our packets leave.
    Packet,    Kprobe,     "loopback_xmit",                "on_call_packet_first";
    Packet,    Kprobe,     "dev_hard_start_xmit",          "on_call_packet_first";
    Packet,    Kprobe,     "netif_skb_features",           "on_call_packet_first";
    SockState, Tracepoint, "inet_sock_set_state",          "on_trace_sock_state";
    SockState, Kprobe,     "inet_csk_listen_start",        "on_call_sock_state_first";
    SockState, Kprobe,     "inet_csk_get_port",            "on_call_sock_state_first";
    SockState, Kprobe,     "inet_hash",                    "on_call_sock_state_first";
    Route4,    Tracepoint, "fib_table_lookup",             "on_trace_route4";
    Route4,    Kprobe,     "fib_table_lookup",             "on_call_route4_second";
    Route4,    Kprobe,     "ip_route_output_key_hash",     "on_call_route4_second";
    Route4,    Kprobe,     "ip_route_output_flow",         "on_call_route4_second";
    Route6,    Tracepoint, "fib6_table_lookup",            "on_trace_route6";
    Route6,    Kprobe,     "ip6_route_output_flags",       "on_call_route6_third";
    Route6,    Kprobe,     "fib6_rule_lookup",             "on_call_route6_second";
    Route6,    Kprobe,     "ip6_route_output_flags_noref", "on_call_route6_third";
};

/// The hooks of an event with this mechanism, best first.
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
