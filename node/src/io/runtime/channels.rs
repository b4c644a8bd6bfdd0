//! tokio's channels and lock under the names openraft asks for. They need no tokio runtime.

use openraft_rt::{
    MpscReceiver, MpscSender, MpscWeakSender, OneshotSender, OptionalSend, OptionalSync, RecvError,
    SendError, TryRecvError, WatchReceiver, WatchSender, watch,
};
use std::ops::Deref;
use tokio::sync::{mpsc, oneshot, watch as tokio_watch};

pub struct Mpsc;
pub struct MpscTx<T>(mpsc::Sender<T>);
pub struct MpscRx<T>(mpsc::Receiver<T>);
pub struct MpscWeak<T>(mpsc::WeakSender<T>);

impl<T> Clone for MpscTx<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Clone for MpscWeak<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl openraft_rt::Mpsc for Mpsc {
    type Sender<T: OptionalSend> = MpscTx<T>;
    type Receiver<T: OptionalSend> = MpscRx<T>;
    type WeakSender<T: OptionalSend> = MpscWeak<T>;
    fn channel<T: OptionalSend>(buffer: usize) -> (MpscTx<T>, MpscRx<T>) {
        let (tx, rx) = mpsc::channel(buffer);
        (MpscTx(tx), MpscRx(rx))
    }
}

impl<T: OptionalSend> MpscSender<Mpsc, T> for MpscTx<T> {
    async fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.0.send(message).await.map_err(|e| SendError(e.0))
    }
    fn downgrade(&self) -> MpscWeak<T> {
        MpscWeak(self.0.downgrade())
    }
}

impl<T> MpscReceiver<T> for MpscRx<T> {
    async fn recv(&mut self) -> Option<T> {
        self.0.recv().await
    }
    fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.0.try_recv().map_err(|e| match e {
            mpsc::error::TryRecvError::Empty => TryRecvError::Empty,
            mpsc::error::TryRecvError::Disconnected => TryRecvError::Disconnected,
        })
    }
}

impl<T: OptionalSend> MpscWeakSender<Mpsc, T> for MpscWeak<T> {
    fn upgrade(&self) -> Option<MpscTx<T>> {
        self.0.upgrade().map(MpscTx)
    }
}

pub struct Oneshot;
pub struct OneshotTx<T>(oneshot::Sender<T>);

impl openraft_rt::Oneshot for Oneshot {
    type Sender<T: OptionalSend> = OneshotTx<T>;
    type Receiver<T: OptionalSend> = oneshot::Receiver<T>;
    type ReceiverError = oneshot::error::RecvError;
    fn channel<T: OptionalSend>() -> (OneshotTx<T>, oneshot::Receiver<T>) {
        let (tx, rx) = oneshot::channel();
        (OneshotTx(tx), rx)
    }
}

impl<T: OptionalSend> OneshotSender<T> for OneshotTx<T> {
    fn send(self, value: T) -> Result<(), T> {
        self.0.send(value)
    }
}

pub struct Mutex<T>(tokio::sync::Mutex<T>);

impl<T: OptionalSend + 'static> openraft_rt::Mutex<T> for Mutex<T> {
    type Guard<'a> = tokio::sync::MutexGuard<'a, T>;
    fn new(value: T) -> Self {
        Self(tokio::sync::Mutex::new(value))
    }
    async fn lock(&self) -> Self::Guard<'_> {
        self.0.lock().await
    }
}

pub struct Watch;
pub struct WatchTx<T>(tokio_watch::Sender<T>);
pub struct WatchRx<T>(tokio_watch::Receiver<T>);
pub struct WatchRef<'a, T>(tokio_watch::Ref<'a, T>);

impl<T> Clone for WatchTx<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Clone for WatchRx<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl openraft_rt::Watch for Watch {
    type Sender<T: OptionalSend + OptionalSync> = WatchTx<T>;
    type Receiver<T: OptionalSend + OptionalSync> = WatchRx<T>;
    type Ref<'a, T: OptionalSend + 'a> = WatchRef<'a, T>;
    fn channel<T: OptionalSend + OptionalSync>(initial: T) -> (WatchTx<T>, WatchRx<T>) {
        let (tx, rx) = tokio_watch::channel(initial);
        (WatchTx(tx), WatchRx(rx))
    }
}

impl<T: OptionalSend + OptionalSync> WatchSender<Watch, T> for WatchTx<T> {
    fn send(&self, value: T) -> Result<(), watch::SendError<T>> {
        self.0.send(value).map_err(|e| watch::SendError(e.0))
    }
    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        self.0.send_if_modified(modify)
    }
    fn borrow_watched(&self) -> WatchRef<'_, T> {
        WatchRef(self.0.borrow())
    }
    fn subscribe(&self) -> WatchRx<T> {
        WatchRx(self.0.subscribe())
    }
}

impl<T: OptionalSend + OptionalSync> WatchReceiver<Watch, T> for WatchRx<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        self.0.changed().await.map_err(|_| watch::RecvError(()))
    }
    fn borrow_watched(&self) -> WatchRef<'_, T> {
        WatchRef(self.0.borrow())
    }
    fn borrow_and_update(&mut self) -> WatchRef<'_, T> {
        WatchRef(self.0.borrow_and_update())
    }
}

impl<T> Deref for WatchRef<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
