//! The protocol between a component and its parent.
//!
//! # Theory of operation
//!
//! A component knows nobody but its parent. To use a service it sends [`ParentRequest::Open`] with a donation; the parent
//! finds the server by its routes, makes an account for the session out of the *client's* account, and lets the
//! server know. The server pays for what the session needs from that account. It can spend no more than the donation,
//! it cannot keep the money, and its own account is not touched.
//!
//! The parent never waits for a server: it raises the server's [`PARENT_SIGNAL`](../../abi/constant.PARENT_SIGNAL.html), the server fetches
//! the request by [`ParentRequest::Next`] and answers by [`ParentRequest::Answer`] when it is ready. Only
//! then does the client get its answer. A server that does not answer stalls that one request.
//!
//! A session grows by [`ParentRequest::Upgrade`]. A component whose own account is short [asks](ParentRequest::Ask) for more; a parent that
//! is short itself raises the same signal, and [`ParentRequest::Next`] brings its [wish](ServerEvent::Yield). Every component may fetch such events, server or not.

use crate::{Message, Service, message::Text, protocol};

protocol! {
    /// Requests of a component to its parent.
    pub enum ParentRequest {
        /// Opens a session. Text: the name wanted (of a ROM, else empty). Caps: a notification, for services that tell of changes.
        /// Answer: session number; the session capability.
        Open = 1 {
            /// [`Service`] wire value.
            service,
            /// RAM to donate, in bytes.
            ram,
            /// Capabilities to donate.
            caps,
            /// Argument of the service.
            argument,
        },
        /// Closes a session; answered once the server has let go and the donation is back.
        Close = 2 {
            /// As `Open` answered.
            session,
        },
        /// Ends the component; not answered. Text: a last word.
        Exit = 3 {
            /// 0: success.
            code,
        },
        /// For servers: the next request that waits. Answer: see [`ServerEvent`]; the session account of an `Open`.
        Next = 4,
        /// For servers: answers a request. Caps: the session capability, if status is 0 and it was an `Open`.
        Answer = 5 {
            /// Request number of the [`ServerEvent`].
            request,
            /// 0 or the label of an [`Error`](crate::Error).
            status,
        },
        /// Donates more to an open session. The session account has it when this is answered.
        Upgrade = 6 {
            /// As `Open` answered.
            session,
            /// RAM to add, in bytes.
            ram,
            /// Capabilities to add.
            caps,
        },
        /// For servers: ends a session that the client has not closed. The server has let go of everything already.
        End = 7 {
            /// The session's number.
            session,
        },
        /// Asks for more quota. Answer: 1 if the component has it already, 0 if the parent has noted the wish; then the parent's signal tells
        /// when it is granted.
        Ask = 8 {
            /// RAM wanted beyond what the account has, in bytes.
            ram,
            /// Capabilities wanted beyond what the account has.
            caps,
        },
        /// The component has freed what it can spare, as it was asked to: the parent takes what is unused.
        Yielded = 9,
        /// For servers: the notification that came with an `Open` that the server has not answered. Answer: the notification.
        Brought = 10 {
            /// Request number of the [`ServerEvent`].
            request,
        },
        /// For the watchdog: threads of a priority have not run for too long. Answer: number of components that were ended for that.
        Starving = 40 {
            /// Highest priority of those that do not run; 0: all run again.
            priority,
        },
        /// Publishes what lies in the dataspace of a `Report` session.
        Submit = 16 {
            /// As `Open` answered.
            session,
            /// Bytes from its beginning.
            bytes,
        },
        /// Brings the dataspace of a `Rom` session that changes up to date. Answer: bytes of the content, 0 if there is none.
        Update = 17 {
            /// As `Open` answered.
            session,
        },
    }
}

/// What a parent tells a component, or asks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "an event lives for one request")]
pub enum ServerEvent {
    /// A client wants a session.
    Open {
        /// Number to answer with, and of the session in a later `Close`.
        request: u32,
        /// Which of the server's services.
        service: Service,
        /// Donated RAM in bytes: the session account has that much.
        ram: u32,
        /// Donated capabilities.
        caps: u32,
        /// Argument of the service.
        argument: u32,
        /// Whether a notification [came with it](ParentRequest::Brought).
        brought: bool,
        /// The client's label.
        label: Text,
    },
    /// A session is over: release everything and answer.
    Close {
        /// The session's number.
        request: u32,
    },
    /// A client has donated more to a session; not answered.
    Upgrade {
        /// The session's number.
        request: u32,
        /// RAM that the session account has more, in bytes.
        ram: u32,
        /// Capabilities that it has more.
        caps: u32,
    },
    /// The component's own account has been given what it [asked](ParentRequest::Ask) for, or part of it; not answered.
    Granted {
        /// RAM in bytes.
        ram: u32,
        /// Capabilities.
        caps: u32,
    },
    /// The parent wants quota back: free that much, if you can, and answer by [`ParentRequest::Yielded`].
    Yield {
        /// RAM in bytes.
        ram: u32,
        /// Capabilities.
        caps: u32,
    },
}

impl ServerEvent {
    /// The answer that carries an event, or none.
    pub fn encode(event: Option<&Self>) -> Message {
        match event {
            None => Message::from_words(0, &[0]),
            Some(Self::Open { request, service, ram, caps, argument, brought, label }) => {
                let words = [1, *request, *service as u32, *ram, *caps, *argument, u32::from(*brought)];
                let mut message = Message::from_words(0, &words);
                message.push_text(label);
                message
            }
            Some(Self::Close { request }) => Message::from_words(0, &[2, *request]),
            Some(Self::Upgrade { request, ram, caps }) => Message::from_words(0, &[3, *request, *ram, *caps]),
            Some(Self::Granted { ram, caps }) => Message::from_words(0, &[4, *ram, *caps]),
            Some(Self::Yield { ram, caps }) => Message::from_words(0, &[5, *ram, *caps]),
        }
    }

    /// What an answer carries. `None`: nothing waits, or the answer is malformed.
    pub fn decode(message: &Message) -> Option<Self> {
        match (message.word(0)?, message.words()) {
            (1, [_, request, service, ram, caps, argument, brought, ..]) => Some(Self::Open {
                request: *request,
                service: Service::from_wire(*service)?,
                ram: *ram,
                caps: *caps,
                argument: *argument,
                brought: *brought != 0,
                label: message.text(7)?,
            }),
            (2, [_, request]) => Some(Self::Close { request: *request }),
            (3, [_, request, ram, caps]) => Some(Self::Upgrade { request: *request, ram: *ram, caps: *caps }),
            (4, [_, ram, caps]) => Some(Self::Granted { ram: *ram, caps: *caps }),
            (5, [_, ram, caps]) => Some(Self::Yield { ram: *ram, caps: *caps }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_wire() {
        let open = ServerEvent::Open {
            request: 7,
            service: Service::Block,
            ram: 65536,
            caps: 4,
            argument: 9,
            brought: true,
            label: Text::try_from("init -> sd-sum").unwrap(),
        };
        let others = [
            ServerEvent::Close { request: 3 },
            ServerEvent::Upgrade { request: 4, ram: 5, caps: 6 },
            ServerEvent::Granted { ram: 7, caps: 8 },
            ServerEvent::Yield { ram: 9, caps: 10 },
        ];
        for event in others.into_iter().chain([open]).map(Some).chain([None]) {
            assert_eq!(ServerEvent::decode(&ServerEvent::encode(event.as_ref())), event);
        }
    }
}
