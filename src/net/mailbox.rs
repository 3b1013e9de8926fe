//! What passes between shards: a bounded queue and a waker for each.
//!
//! A full mailbox never holds up the sender: the message is returned to it, counted as a drop.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;
use mio::{Registry, Token, Waker};

use super::tcp::Alias;
use crate::gateway::authentication::BackOff;
use crate::shard::guard::Ban;
use crate::shard::io::{Flow, TransactionId};
use crate::telemetry::{CallsWanted, LiveCall};

/// A transaction and the shard that it lives on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    pub(super) shard: u8,
    pub(super) transaction: TransactionId,
}

/// What a shard is told by another, or asked by the control plane.
#[derive(Debug)]
pub(super) enum Mail {
    /// A message that the other shard owns.
    Message { flow: Flow, bytes: Bytes },
    /// A message to be sent on a connection that the other shard holds.
    Write {
        flow: Flow,
        bytes: Bytes,
        origin: Option<Origin>,
        /// It does not go to a third shard, so that no message goes round.
        is_last: bool,
    },
    /// A connection stands for its peer's address.
    Alias(Alias),
    /// The connection is closed.
    AliasGone(Alias),
    /// A source is not to be listened to.
    Ban(Ban),
    /// A source is to be refused by a connector.
    BackOff(BackOff),
    /// A write came to nothing.
    TransportError { transaction: TransactionId },
    /// The control plane wants to know of the shard's calls.
    LiveCalls(Question),
}

/// Which calls are asked for, and who is told of them.
pub(super) struct Question {
    pub(super) wanted: Arc<CallsWanted>,
    pub(super) answer: Box<dyn FnOnce(Vec<LiveCall>) + Send>,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

/// Where one shard gets its mail; any shard may put some in.
#[derive(Debug)]
pub(super) struct Mailbox {
    queue: ArrayQueue<Mail>,
    waker: Waker,
    /// The owner was woken and has not begun to look yet: one wake-up serves many messages.
    woken: AtomicBool,
}

impl Mailbox {
    pub(super) fn new(registry: &Registry, token: Token, messages_max: usize) -> io::Result<Self> {
        Ok(Self {
            queue: ArrayQueue::new(messages_max.max(1)),
            waker: Waker::new(registry, token)?,
            woken: AtomicBool::new(false),
        })
    }

    /// Puts mail in and wakes the owner; gives it back when the mailbox is full.
    pub(super) fn put(&self, mail: Mail) -> Result<(), Mail> {
        let result = self.queue.push(mail);
        self.wake();
        result
    }

    /// Makes the owner's thread go round its loop.
    pub(super) fn wake(&self) {
        if self.woken.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(error) = self.waker.wake() {
            self.woken.store(false, Ordering::SeqCst);
            tracing::error!(%error, "cannot wake a shard");
        }
    }

    /// For the owner, before it takes mail out: what is put in from now on wakes it again.
    pub(super) fn attend(&self) {
        // A swap, not a store: it also makes visible what was put in before the flag was set.
        self.woken.swap(false, Ordering::SeqCst);
    }

    /// Takes out the oldest mail.
    pub(super) fn take(&self) -> Option<Mail> {
        self.queue.pop()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(slot: u32) -> Mail {
        Mail::TransportError {
            transaction: TransactionId {
                slot,
                generation: 0,
            },
        }
    }

    #[test]
    fn a_full_mailbox_gives_the_mail_back_and_keeps_the_old() {
        let poll = mio::Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry(), Token(0), 2).unwrap();
        assert!(mailbox.put(error(1)).is_ok());
        assert!(mailbox.put(error(2)).is_ok());
        assert!(mailbox.put(error(3)).is_err());
        let slots: Vec<u32> = std::iter::from_fn(|| mailbox.take())
            .map(|mail| match mail {
                Mail::TransportError { transaction } => transaction.slot,
                Mail::Message { .. }
                | Mail::Write { .. }
                | Mail::Alias(_)
                | Mail::AliasGone(_)
                | Mail::Ban(_)
                | Mail::BackOff(_)
                | Mail::LiveCalls(_) => panic!("not put in"),
            })
            .collect();
        assert_eq!(slots, [1, 2]);
        assert!(mailbox.is_empty());
    }

    #[test]
    fn mail_wakes_the_owner_again_after_it_attended() {
        let mut poll = mio::Poll::new().unwrap();
        let mut events = mio::Events::with_capacity(4);
        let mailbox = Mailbox::new(poll.registry(), Token(7), 8).unwrap();
        for slot in 0..2 {
            assert!(mailbox.put(error(slot)).is_ok());
            poll.poll(&mut events, Some(std::time::Duration::from_secs(10)))
                .unwrap();
            assert!(events.iter().any(|event| event.token() == Token(7)));
            mailbox.attend();
        }
    }
}
