//! Records: producing, fetching, and finding offsets. Batches travel in the frame's attachment.

mod fetch;
mod offsets;
mod produce;

pub use fetch::{FetchPart, FetchRequest, FetchResponse, FetchResult};
pub use offsets::{
    EARLIEST, LATEST, ListOffsetsRequest, ListOffsetsResponse, OffsetAnswer, OffsetFound,
    OffsetQuery,
};
pub use produce::{
    Acks, InitProducerResponse, ProduceAck, ProducePart, ProduceRequest, ProduceResponse,
    ProduceResult,
};
