//! rtnetlink messages (`linux/rtnetlink.h`): [`RouteRequest`] asks for the route to an address,
//! [`RouteReply`] reads the answer, [`link`] has interfaces by index. Pure.

pub mod link;
mod route;

pub use route::RouteReply;
pub use route::RouteRequest;
