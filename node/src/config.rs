//! The node's configuration: a TOML file in which every key is optional.
//! `docs/ringspool.toml` is the commented sample; a test keeps it equal to the defaults here.

use crate::limits::{
    SHARDS_MAX, TAIL_CACHE_BYTES_DEFAULT, WAL_FILE_BYTES_DEFAULT, WAL_FILE_BYTES_MAX,
    WAL_FILE_BYTES_MIN,
};
use serde::Deserialize;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use toml::Spanned;

/// Virtual nodes of a new cluster unless said otherwise.
const VNODES_DEFAULT: u32 = 64;
const VNODES: RangeInclusive<u64> = 1..=4096;
const CACHE_BYTES: RangeInclusive<u64> = (8 << 20)..=(1 << 40);
const WAL_FILE_BYTES: RangeInclusive<u64> = WAL_FILE_BYTES_MIN..=WAL_FILE_BYTES_MAX;

/// How a node is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where everything is kept; created if it is not there.
    pub data_dir: PathBuf,
    /// Where clients connect. Port 0: any free one.
    pub listen: SocketAddr,
    /// Where metrics and health are served. Port 0: any free one.
    pub admin: SocketAddr,
    /// `host:port` that clients are told to connect to, if it is not `listen`.
    pub advertise: Option<String>,
    /// Executors, each on a CPU of its own; absent: one per CPU.
    pub shards: Option<u16>,
    /// Number of this node in the cluster, from 1. Kept in the data directory.
    pub node_id: u64,
    /// Virtual nodes; only heeded when a cluster is created.
    pub vnodes: u32,
    /// Bytes of recent batches each shard keeps in memory.
    pub cache_bytes: u64,
    /// Length of a write-ahead log file, in bytes.
    pub wal_file_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./ringspool-data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 7400)),
            admin: SocketAddr::from(([127, 0, 0, 1], 7480)),
            advertise: None,
            shards: None,
            node_id: 1,
            vnodes: VNODES_DEFAULT,
            cache_bytes: TAIL_CACHE_BYTES_DEFAULT as u64,
            wal_file_bytes: WAL_FILE_BYTES_DEFAULT,
        }
    }
}

/// A configuration file that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what is allowed.
    pub reason: String,
}

/// The file as it is read, before values are checked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileConfig {
    data_dir: Option<PathBuf>,
    listen: Option<Spanned<String>>,
    admin: Option<Spanned<String>>,
    advertise: Option<Spanned<String>>,
    shards: Option<Spanned<i64>>,
    node_id: Option<Spanned<i64>>,
    vnodes: Option<Spanned<i64>>,
    cache_bytes: Option<Spanned<i64>>,
    wal_file_bytes: Option<Spanned<i64>>,
}

/// Names the place of an error in the file.
struct Place<'a> {
    file: &'a str,
    text: &'a str,
}

impl Place<'_> {
    fn error(&self, at: usize, reason: String) -> ConfigError {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        ConfigError { file: self.file.to_owned(), line, reason }
    }

    fn number(
        &self,
        key: &str,
        value: &Spanned<i64>,
        allowed: RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        let number = u64::try_from(*value.get_ref()).ok().filter(|n| allowed.contains(n));
        number.ok_or_else(|| {
            let (min, max) = (allowed.start(), allowed.end());
            let reason = format!("{key} = {} is not allowed: {min} to {max} is", value.get_ref());
            self.error(value.span().start, reason)
        })
    }

    fn address(&self, key: &str, value: &Spanned<String>) -> Result<SocketAddr, ConfigError> {
        value.get_ref().parse().map_err(|_| {
            let reason = format!(
                "{key} = {:?} is not allowed: an IP address and a port is, such as \
                 \"127.0.0.1:7400\" or \"[::1]:7400\"",
                value.get_ref()
            );
            self.error(value.span().start, reason)
        })
    }
}

impl Config {
    /// Reads a file's text; `file` names it in errors.
    ///
    /// # Errors
    /// [`ConfigError`] for an unknown key or a bad value.
    pub fn from_toml(text: &str, file: &str) -> Result<Self, ConfigError> {
        let place = Place { file, text };
        let read: FileConfig = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            place.error(at, error.message().replace("expected i64", "expected an integer"))
        })?;
        let mut config = Self::default();
        if let Some(data_dir) = read.data_dir {
            config.data_dir = data_dir;
        }
        if let Some(listen) = &read.listen {
            config.listen = place.address("listen", listen)?;
        }
        if let Some(admin) = &read.admin {
            config.admin = place.address("admin", admin)?;
        }
        if let Some(advertise) = read.advertise {
            let has_port = advertise.get_ref().rsplit_once(':');
            if has_port.is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
                let reason = format!("advertise = {:?} is not HOST:PORT", advertise.get_ref());
                return Err(place.error(advertise.span().start, reason));
            }
            config.advertise = Some(advertise.into_inner());
        }
        if let Some(shards) = &read.shards {
            let shards = place.number("shards", shards, 1..=u64::from(SHARDS_MAX))?;
            config.shards = u16::try_from(shards).ok();
        }
        if let Some(node_id) = &read.node_id {
            config.node_id = place.number("node_id", node_id, 1..=u64::MAX)?;
        }
        if let Some(vnodes) = &read.vnodes {
            let vnodes = place.number("vnodes", vnodes, VNODES)?;
            config.vnodes = u32::try_from(vnodes).unwrap_or(VNODES_DEFAULT);
        }
        if let Some(cache_bytes) = &read.cache_bytes {
            config.cache_bytes = place.number("cache_bytes", cache_bytes, CACHE_BYTES)?;
        }
        if let Some(wal_file_bytes) = &read.wal_file_bytes {
            let bytes = place.number("wal_file_bytes", wal_file_bytes, WAL_FILE_BYTES)?;
            if !bytes.is_multiple_of(crate::io::BLOCK_BYTES) {
                let reason = format!("wal_file_bytes = {bytes} is not a multiple of 4096");
                return Err(place.error(wal_file_bytes.span().start, reason));
            }
            config.wal_file_bytes = bytes;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SAMPLE: &str = include_str!("../../docs/ringspool.toml");

    #[test]
    fn the_sample_says_the_defaults() {
        let config = Config::from_toml(SAMPLE, "docs/ringspool.toml").unwrap();
        assert_eq!(config, Config::default());
    }

    #[test]
    fn the_sample_with_every_key_active_is_accepted() {
        let active: String = SAMPLE
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let config = Config::from_toml(&active, "docs/ringspool.toml").unwrap();
        assert_eq!(config.shards, Some(2));
        assert!(config.advertise.is_some());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
        let error = Config::from_toml("shards = 2\nlisten_on = 3\n", "x.toml").unwrap_err();
        assert_eq!((error.file.as_str(), error.line), ("x.toml", 2));
        assert!(error.reason.contains("listen_on") && error.reason.contains("wal_file_bytes"));
    }

    #[test]
    fn a_bad_value_is_named_with_its_line_and_what_is_allowed() {
        for (text, allowed) in [
            ("\nshards = 0", "1 to 1024"),
            ("\ncache_bytes = -5", "8388608 to"),
            ("\nwal_file_bytes = 33554433", "multiple of 4096"),
            ("\nlisten = \"here\"", "an IP address and a port"),
            ("\nadvertise = \"host\"", "HOST:PORT"),
            ("\nvnodes = \"many\"", "integer"),
        ] {
            let error = Config::from_toml(text, "x.toml").unwrap_err();
            assert_eq!(error.line, 2, "{error}");
            assert!(error.reason.contains(allowed), "{error}");
        }
    }
}
