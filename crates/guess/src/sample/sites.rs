//! All the grounds of a run: new namespaces that track connections and such that do not; else what
//! can be had instead.

use std::thread::Scope;

use lab::tracking_namespaces;
use lab::tracks_here;

use super::pool::SocketKind;
use super::site::PendingSite;
use super::site::Site;
use super::site::SiteKind;
use super::tracking::Access;
use super::tracking::Switch;
use super::tracking::is_inability;

/// Namespaces that track connections. Three, so that what follows the namespace is told from what
/// merely differs twice, and so that their inode numbers are evidence enough.
const TRACKING: usize = 3;
/// Namespaces that do not track; together with the others there are three at least.
const PLAIN: usize = 1;
const PLAIN_ALONE: usize = 3;
/// Of the namespaces of this host so many are looked at, when none can be made.
const LOOKED_AT: usize = 64;

/// Where experiments run.
#[derive(Debug)]
pub struct Sites {
    /// Those in which connections are tracked; none if no field of a connection is asked for.
    pub tracked: Vec<Site>,
    /// The others.
    pub plain: Vec<Site>,
    /// Why there are none that track, although they were wanted.
    pub untracked_because: Option<anyhow::Error>,
}

/// Grounds that are being made.
#[derive(Debug)]
pub struct PendingSites {
    tracked: Vec<PendingSite>,
    plain: Vec<PendingSite>,
}

impl PendingSites {
    /// Begins to make new namespaces, such that track if that is wanted.
    pub fn prepare<'scope>(
        scope: &'scope Scope<'scope, '_>,
        access: &Access,
        searches: bool,
        stock: &'static [SocketKind],
    ) -> Self {
        let count = if searches { TRACKING } else { 0 };
        let tracking = (0..count).map(|_| SiteKind::Tracking(access.clone()));
        let plain = if searches { PLAIN } else { PLAIN_ALONE };
        let plain = (0..plain).map(|_| SiteKind::Plain);
        Self {
            tracked: tracking
                .map(|place| Site::prepare(scope, place, stock))
                .collect(),
            plain: plain
                .map(|place| Site::prepare(scope, place, stock))
                .collect(),
        }
    }

    /// Waits for them; where the kernel can make none, takes what there is already.
    ///
    /// # Errors
    /// Exit 4 if it is not permitted, 3 if it fails.
    pub fn ready<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        access: &Access,
        stock: &'static [SocketKind],
    ) -> anyhow::Result<Sites> {
        let has_namespaces;
        let plain = match all_ready(self.plain) {
            Ok(plain) => {
                has_namespaces = true;
                plain
            }
            Err(error) if is_inability(&error) => {
                log::warn!("{error:#}; going on in the only namespace");
                has_namespaces = false;
                vec![Site::prepare(scope, SiteKind::Only, stock).ready()?]
            }
            Err(error) => return Err(error),
        };
        let mut untracked_because = None;
        let tracked = match all_ready(self.tracked) {
            Ok(tracked) => tracked,
            Err(error) if is_inability(&error) => {
                let places = found(access, has_namespaces);
                if places.is_empty() {
                    untracked_because = Some(error);
                } else {
                    let count = places.len();
                    log::warn!(
                        "{error:#}; making connections where they are tracked already, in {count} places"
                    );
                }
                let preparing = places
                    .into_iter()
                    .map(|place| Site::prepare(scope, place, stock));
                all_ready(preparing.collect())?
            }
            Err(error) => return Err(error),
        };
        let mut sites = Sites {
            tracked,
            plain,
            untracked_because,
        };
        if has_namespaces && !sites.all_is_ours() {
            let more = (sites.plain.len()..PLAIN_ALONE)
                .map(|_| Site::prepare(scope, SiteKind::Plain, stock));
            sites.plain.extend(all_ready(more.collect())?);
        }
        Ok(sites)
    }
}

fn all_ready(preparing: Vec<PendingSite>) -> anyhow::Result<Vec<Site>> {
    preparing.into_iter().map(PendingSite::ready).collect()
}

/// Places in which connections are tracked already, nearest first.
fn found(access: &Access, has_namespaces: bool) -> Vec<SiteKind> {
    if !access.has_ctnetlink() {
        return Vec::new();
    }
    if !has_namespaces {
        let searches = tracks_here().unwrap_or_else(|error| {
            log::info!("whether connections are tracked cannot be told: {error}");
            false
        });
        return searches
            .then_some(SiteKind::Borrowed(None))
            .into_iter()
            .collect();
    }
    let active = tracking_namespaces(LOOKED_AT).filter_map(|namespace| match namespace {
        Ok(namespace) => Some(SiteKind::Borrowed(Some(namespace))),
        Err(error) => {
            log::info!("a namespace is left out: {error}");
            None
        }
    });
    active.take(TRACKING).collect()
}

impl Sites {
    /// Whether packets are treated as we say on all grounds that track: so that any packet can be
    /// sent there.
    fn all_is_ours(&self) -> bool {
        let mut switches = self
            .tracked
            .iter()
            .filter_map(|site| Some(&site.tracking()?.switch));
        !self.tracked.is_empty() && switches.all(|switch| matches!(switch, Switch::Nftables))
    }

    /// One ground where nothing is tracked after the other.
    pub fn untracked(&mut self, index: usize) -> &mut Site {
        let count = self.plain.len();
        &mut self.plain[index % count]
    }

    /// One ground for sockets of any kind after the other.
    pub fn any(&mut self, index: usize) -> &mut Site {
        let plain = self.plain.len();
        let tracked = if self.all_is_ours() {
            self.tracked.len()
        } else {
            0
        };
        match index % (plain + tracked) {
            index if index < plain => &mut self.plain[index],
            index => &mut self.tracked[index - plain],
        }
    }

    /// Whether IPv6 sockets can be had.
    #[must_use]
    pub fn have_inet6(&self) -> bool {
        self.plain.iter().any(Site::has_inet6)
    }

    /// Whether there are several namespaces.
    #[must_use]
    pub fn are_namespaces(&self) -> bool {
        self.plain.iter().any(|site| site.inum().is_some())
    }

    /// Closes the sockets of all experiments so far.
    pub fn release(&mut self) {
        let all = self.tracked.iter_mut().chain(&mut self.plain);
        all.for_each(Site::release);
    }
}
