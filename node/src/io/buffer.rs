//! A block-aligned buffer for direct I/O: from glommio's pool on the real disk, from the heap on
//! the simulated one.

use glommio::io::DmaBuffer;

/// Bytes to be written with direct I/O. Its length is a multiple of [`super::BLOCK_BYTES`].
#[derive(Debug)]
pub enum IoBuffer {
    /// Aligned memory of the executor's pool.
    Dma(DmaBuffer),
    /// Plain memory, for disks that need no alignment.
    Heap(Vec<u8>),
}

impl IoBuffer {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Dma(buffer) => buffer.as_bytes(),
            Self::Heap(bytes) => bytes,
        }
    }

    /// The bytes, to be filled. Memory from the pool is not zeroed: whoever fills less than all of
    /// it must clear the rest.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Dma(buffer) => buffer.as_bytes_mut(),
            Self::Heap(bytes) => bytes,
        }
    }

    /// Bytes the buffer holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
