//! All sites of a run: new namespaces with connection tracking and without, or else existing ones.

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

/// Namespaces with tracking. Three, because a value may differ between two namespaces for another reason,
/// and because the inode numbers of two are not evidence enough.
const TRACKING: usize = 3;
/// Namespaces without tracking; together with the others there are at least three.
const PLAIN: usize = 1;
const PLAIN_ALONE: usize = 3;
/// If no namespace can be made, at most this many existing ones are examined.
const EXAMINED: usize = 64;

/// Where experiments run.
#[derive(Debug)]
pub struct Sites {
    /// Those in which connections are tracked; none if no field of a connection is asked for.
    pub tracked: Vec<Site>,
    /// The others.
    pub plain: Vec<Site>,
    /// Why there are none with tracking, although they were wanted.
    pub untracked_because: Option<anyhow::Error>,
}

/// Sites that are being made.
#[derive(Debug)]
pub struct PendingSites {
    tracked: Vec<PendingSite>,
    plain: Vec<PendingSite>,
}

impl PendingSites {
    /// Begins to make new namespaces, some of them with tracking if that is wanted.
    pub fn prepare<'scope>(
        scope: &'scope Scope<'scope, '_>,
        access: &Access,
        tracks: bool,
        sockets: &'static [SocketKind],
    ) -> Self {
        let (tracking, plain) = if tracks {
            (TRACKING, PLAIN)
        } else {
            (0, PLAIN_ALONE)
        };
        let tracking = (0..tracking).map(|_| SiteKind::Tracking(access.clone()));
        let plain = (0..plain).map(|_| SiteKind::Plain);
        let prepare = |kind| Site::prepare(scope, kind, sockets);
        Self {
            tracked: tracking.map(prepare).collect(),
            plain: plain.map(prepare).collect(),
        }
    }

    /// Waits for them. Where the kernel can make none, it takes what exists already.
    ///
    /// # Errors
    /// If a privilege is missing, or something fails.
    pub fn ready<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        access: &Access,
        sockets: &'static [SocketKind],
    ) -> anyhow::Result<Sites> {
        let prepare = |kind| Site::prepare(scope, kind, sockets);
        let (has_namespaces, plain) = match all_ready(self.plain) {
            Err(error) if is_inability(&error) => {
                log::warn!("{error:#}; going on in the only namespace");
                (false, vec![prepare(SiteKind::Only).ready()?])
            }
            plain => (true, plain?),
        };
        let mut untracked_because = None;
        let tracked = match all_ready(self.tracked) {
            Err(error) if is_inability(&error) => {
                let existing = tracking_already(access, has_namespaces);
                if existing.is_empty() {
                    untracked_because = Some(error);
                } else {
                    let count = existing.len();
                    log::warn!("{error:#}; using {count} existing namespaces with tracking");
                }
                all_ready(existing.into_iter().map(prepare).collect())?
            }
            tracked => tracked?,
        };
        let mut sites = Sites {
            tracked,
            plain,
            untracked_because,
        };
        if has_namespaces && !sites.all_rules_are_ours() {
            let more = (sites.plain.len()..PLAIN_ALONE).map(|_| prepare(SiteKind::Plain));
            sites.plain.extend(all_ready(more.collect())?);
        }
        Ok(sites)
    }
}

fn all_ready(pending: Vec<PendingSite>) -> anyhow::Result<Vec<Site>> {
    pending.into_iter().map(PendingSite::ready).collect()
}

/// Existing namespaces in which connections are tracked, nearest first.
fn tracking_already(access: &Access, has_namespaces: bool) -> Vec<SiteKind> {
    if !access.has_ctnetlink() {
        return Vec::new();
    }
    if !has_namespaces {
        let tracks = tracks_here().unwrap_or_else(|error| {
            log::info!("it is unknown whether connections are tracked: {error}");
            false
        });
        let only = tracks.then_some(SiteKind::Borrowed(None));
        return only.into_iter().collect();
    }
    let active = tracking_namespaces(EXAMINED).filter_map(|namespace| match namespace {
        Ok(namespace) => Some(SiteKind::Borrowed(Some(namespace))),
        Err(error) => {
            log::info!("a namespace is skipped: {error}");
            None
        }
    });
    active.take(TRACKING).collect()
}

impl Sites {
    /// Whether all sites with tracking treat packets by our rules, so that any packet can be sent there.
    fn all_rules_are_ours(&self) -> bool {
        let by_our_rules = |site: &Site| {
            let tracking = site.tracking.as_ref();
            tracking.is_none_or(|tracking| matches!(tracking.switch, Switch::Nftables))
        };
        !self.tracked.is_empty() && self.tracked.iter().all(by_our_rules)
    }

    /// The sites without tracking, in turn.
    pub fn untracked(&mut self, index: usize) -> &mut Site {
        let count = self.plain.len();
        &mut self.plain[index % count]
    }

    /// The sites for sockets of any kind, in turn.
    pub fn any(&mut self, index: usize) -> &mut Site {
        let plain = self.plain.len();
        let usable = if self.all_rules_are_ours() {
            self.tracked.len()
        } else {
            0
        };
        match index % (plain + usable) {
            index if index < plain => &mut self.plain[index],
            index => &mut self.tracked[index - plain],
        }
    }

    /// Whether there are IPv6 sockets.
    pub fn have_inet6(&self) -> bool {
        self.plain.iter().any(Site::has_inet6)
    }

    /// Whether there are several namespaces.
    pub fn are_namespaces(&self) -> bool {
        self.plain.iter().any(|site| site.inum.is_some())
    }

    /// Closes the sockets of all experiments so far.
    pub fn release(&mut self) {
        let all = self.tracked.iter_mut().chain(&mut self.plain);
        all.for_each(Site::release);
    }
}
