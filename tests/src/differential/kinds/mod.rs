//! The kinds of flows: what the generator does, and what the kernel must have done. One table.

mod bridged;
mod notrack;
mod oneway;
mod plain;
mod reborn;
mod refused;
mod sharing;

use super::kind::Kind;
use super::kind::kind;
use super::world::Need;

/// Every kind. The function of each says what it does.
pub static KINDS: &[Kind] = &[
    kind("forwarded", plain::forwarded),
    kind("outbound", plain::outbound),
    kind("inbound", plain::inbound),
    kind("loopback", plain::loopback),
    kind("dnat", plain::dnat),
    kind("outbound-dnat", plain::outbound_dnat),
    kind("snat", plain::snat),
    kind("masquerade", plain::masquerade),
    kind("dnat-masquerade", plain::dnat_masquerade),
    kind("redirect", plain::redirect),
    kind("hairpin", plain::hairpin),
    kind("zone", plain::zone),
    kind("zone-original", plain::zone_original),
    kind("mark", plain::mark),
    kind("mark-changed", plain::mark_changed),
    kind("fragments", plain::fragments).udp(),
    kind("stream", plain::stream).udp(),
    kind("ping", plain::ping),
    kind("ping-nat", plain::ping_nat),
    kind("ping-in", plain::ping_in),
    kind("reject-reset", refused::reject_reset),
    kind("reject-icmp", refused::reject_icmp),
    kind("reject-in", refused::reject_in),
    kind("reject-out", refused::reject_out),
    kind("drop-forward", refused::drop_forward),
    kind("drop-in", refused::drop_in),
    kind("ttl", refused::ttl),
    kind("unreachable", refused::unreachable),
    kind("closed-here", refused::closed_here).reset(),
    kind("closed-behind", refused::closed_behind).reset(),
    kind("closed-loopback", refused::closed_loopback)
        .tcp()
        .reset(),
    kind("refused-again", refused::refused_again).tcp().reset(),
    kind("one-way", oneway::one_way),
    kind("one-way-out", oneway::one_way_out),
    kind("one-way-in", oneway::one_way_in).udp(),
    kind("broadcast-in", oneway::broadcast_in).v4().udp(),
    kind("broadcast-out", oneway::broadcast_out).v4().udp(),
    kind("multicast-out", oneway::multicast_out).v4().udp(),
    kind("reborn-other", reborn::reborn_other).udp(),
    kind("reborn-same", reborn::reborn_same).udp(),
    kind("tcp-reused", reborn::tcp_reused).tcp(),
    kind("tcp-reused-out", reborn::tcp_reused_out).tcp(),
    kind("deleted-reborn", reborn::deleted_reborn).udp(),
    kind("deleted-at-once", reborn::deleted_at_once).udp(),
    kind("same-port", sharing::same_port),
    kind("same-tuple", sharing::same_tuple).v4().udp(),
    kind("same-ping", sharing::same_ping),
    kind("gre", sharing::gre).v4().udp(),
    kind("clash", sharing::clash).v4().udp(),
    kind("notrack-reply", notrack::notrack_reply).udp(),
    kind("notrack-original", notrack::notrack_original).udp(),
    kind("synproxy", notrack::synproxy)
        .tcp()
        .needing(Need::Synproxy),
    kind("expectation", notrack::expectation)
        .v4()
        .udp()
        .needing(Need::Tftp),
    kind("bridged", bridged::bridged).v4().needing(Need::Bridge),
    kind("bridged-dnat", bridged::bridged_dnat)
        .v4()
        .needing(Need::Bridge),
    kind("bridged-hairpin", bridged::bridged_hairpin)
        .v4()
        .needing(Need::Bridge),
];
