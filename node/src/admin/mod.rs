//! The admin thread: metrics and health over HTTP, on a thread of its own that is not pinned, so
//! that a scrape never runs on a shard's executor.
//!
//! It owns nothing: each request asks every shard for a copy of its counters.

mod metrics;

use crate::shard::NodeIdentity;
use crate::shard::mailbox::{Mailboxes, Message};
use crate::shard::stats::ShardReport;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a shard may take to answer before it counts as not healthy.
const REPORT_DEADLINE: Duration = Duration::from_secs(2);

/// Why the admin thread did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics on {address}: {source}; choose another address with --admin")]
pub struct AdminError {
    address: SocketAddr,
    source: std::io::Error,
}

/// The running admin thread.
pub struct Admin {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: mpsc::Receiver<()>,
}

struct Asked {
    mailboxes: Mailboxes,
    identity: NodeIdentity,
}

impl Admin {
    /// Starts the thread; returns when it listens.
    ///
    /// # Errors
    /// When the address is not available or the thread cannot be made.
    pub fn start(
        address: SocketAddr,
        mailboxes: Mailboxes,
        identity: NodeIdentity,
    ) -> Result<Self, AdminError> {
        let failed = |source| AdminError { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let (ended_tx, ended) = mpsc::channel();
        let asked = Arc::new(Asked { mailboxes, identity });
        let serve = async move {
            let router = Router::new()
                .route("/metrics", get(show_metrics))
                .route("/healthz", get(show_health))
                .route("/readyz", get(show_readiness))
                .with_state(asked);
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let until = async move { drop(stopped.await) };
            axum::serve(listener, router).with_graceful_shutdown(until).await
        };
        let thread = std::thread::Builder::new().name("admin".into());
        thread
            .spawn(move || {
                if let Err(error) = runtime.block_on(serve) {
                    tracing::error!(%error, "the admin thread ended");
                }
                drop(ended_tx);
            })
            .map_err(failed)?;
        Ok(Self { address: bound, stop, ended })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the thread, waiting at most `deadline` for open requests.
    pub fn stop(self, deadline: Duration) {
        // A thread that has ended already needs no telling.
        let _ = self.stop.send(());
        if self.ended.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("an admin request did not end in time");
        }
    }
}

/// Every shard's counters, or the first shard that did not answer.
async fn reports(asked: &Asked) -> Result<Vec<ShardReport>, String> {
    let mut reports = Vec::new();
    for shard in 0..asked.mailboxes.shards() {
        let ask = asked.mailboxes.ask(shard, |reply| Message::Report { reply });
        match tokio::time::timeout(REPORT_DEADLINE, ask).await {
            Ok(Ok(report)) => reports.push(report),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("shard {shard} does not answer")),
        }
    }
    Ok(reports)
}

async fn show_metrics(State(asked): State<Arc<Asked>>) -> impl IntoResponse {
    match reports(&asked).await {
        Ok(reports) => {
            let text = metrics::render(&asked.identity, &reports);
            (StatusCode::OK, [(CONTENT_TYPE, "text/plain; version=0.0.4")], text)
        }
        Err(error) => {
            (StatusCode::SERVICE_UNAVAILABLE, [(CONTENT_TYPE, "text/plain")], error + "\n")
        }
    }
}

async fn show_health(State(asked): State<Arc<Asked>>) -> impl IntoResponse {
    match reports(&asked).await {
        Ok(_) => (StatusCode::OK, "ok\n".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error + "\n"),
    }
}

async fn show_readiness(State(asked): State<Arc<Asked>>) -> impl IntoResponse {
    match reports(&asked).await {
        Ok(reports) => {
            let full = reports.iter().any(|report| report.gauges.contains(&("out_of_space", 1)));
            match full {
                true => (StatusCode::SERVICE_UNAVAILABLE, "the disk is full\n".to_owned()),
                false => (StatusCode::OK, "ready\n".to_owned()),
            }
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error + "\n"),
    }
}
