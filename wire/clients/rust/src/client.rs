//! The client: where a program begins. It holds the connections and the cache of the cluster that
//! the producers, consumers and admins made from it share.

use std::sync::Arc;
use std::time::Duration;

use ringspool_wire::MetadataResponse;

use crate::admin::Admin;
use crate::cluster::{Cluster, ClusterOptions};
use crate::connection::ConnectOptions;
use crate::consumer::ConsumerBuilder;
use crate::error::ClientError;
use crate::producer::ProducerBuilder;

/// A connection to a cluster. Clones are cheap and share everything.
///
/// ```no_run
/// # async fn example() -> Result<(), ringspool_client::ClientError> {
/// use std::time::Duration;
/// use ringspool_client::Client;
///
/// let client = Client::builder()
///     .servers(["127.0.0.1:7400"])
///     .client_name("billing")
///     .connect_timeout(Duration::from_secs(3))
///     .build()
///     .await?;
/// for topic in client.metadata(&[]).await?.topics {
///     println!("{} has {} partitions", topic.name, topic.partitions.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    cluster: Arc<Cluster>,
}

impl Client {
    /// Starts to build a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Connects with defaults to one or several servers, `HOST:PORT[,HOST:PORT]…`.
    ///
    /// # Errors
    ///
    /// As [`ClientBuilder::build`].
    pub async fn connect(servers: &str) -> Result<Client, ClientError> {
        Client::builder().servers(servers.split(',')).build().await
    }

    /// Creates, changes, describes, lists and deletes topics.
    pub fn admin(&self) -> Admin {
        Admin::new(self.cluster.clone())
    }

    /// Starts to build a producer.
    pub fn producer(&self) -> ProducerBuilder {
        ProducerBuilder::new(self.cluster.clone())
    }

    /// Starts to build a consumer.
    pub fn consumer(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(self.cluster.clone())
    }

    /// The cluster's nodes, and where the partitions of these topics are; no names: of all topics.
    /// A topic that does not exist is there, with its error.
    ///
    /// # Errors
    ///
    /// When no server answers.
    pub async fn metadata(&self, topics: &[&str]) -> Result<MetadataResponse, ClientError> {
        let names = topics.iter().map(|topic| (*topic).to_owned()).collect();
        self.cluster.metadata((!topics.is_empty()).then_some(names)).await
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Settings of a [`Client`].
#[derive(Clone, Debug)]
#[must_use = "nothing is connected before build()"]
pub struct ClientBuilder {
    servers: Vec<String>,
    client_name: String,
    connect_timeout: Duration,
    request_timeout: Duration,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        ClientBuilder {
            servers: vec!["127.0.0.1:7400".to_owned()],
            client_name: concat!("ringspool-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl ClientBuilder {
    /// The servers to start from, each `HOST:PORT`. One that answers is enough: it names the
    /// others. Default: `127.0.0.1:7400`.
    pub fn servers<S: Into<String>>(mut self, servers: impl IntoIterator<Item = S>) -> Self {
        self.servers = servers.into_iter().map(Into::into).collect();
        self
    }

    /// The name that the node's log shows for this client. Default: name and version of the crate.
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.client_name = name.into();
        self
    }

    /// How long connecting and greeting may take. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one request may take, and how long admin calls are tried again. Default: 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Connects: asks the servers in turn until one describes the cluster.
    ///
    /// # Errors
    ///
    /// [`ClientError::InvalidServers`] when the list is empty or an entry has no port;
    /// [`ClientError::NoServerAnswered`] with what each of them did.
    pub async fn build(self) -> Result<Client, ClientError> {
        let mut servers: Vec<Arc<str>> = Vec::new();
        for server in &self.servers {
            let server = server.trim();
            let port = server.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            if port.and_then(|(_, port)| port.parse::<u16>().ok()).is_none() {
                let detail = format!("server {server:?} is not HOST:PORT");
                return Err(ClientError::InvalidServers { detail });
            }
            servers.push(server.into());
        }
        if servers.is_empty() {
            let detail = "the list of servers is empty".to_owned();
            return Err(ClientError::InvalidServers { detail });
        }
        let cluster = Cluster::new(ClusterOptions {
            servers,
            connect: ConnectOptions {
                client_name: self.client_name.into(),
                connect_timeout: self.connect_timeout,
            },
            request_timeout: self.request_timeout,
        });
        cluster.refresh(0).await?;
        Ok(Client { cluster: Arc::new(cluster) })
    }
}
