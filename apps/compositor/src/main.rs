//! A Framebuffer server for several clients, on one screen that it has itself from a Framebuffer server.
//!
//! # Theory of operation
//!
//! Each client has a view: buffers of that size, made out of its own donation, and nothing else. It can neither see nor cover more than that, as it names no place on the
//! screen. At the end of each frame the compositor copies what has changed in the views since the last one into the buffer that is not shown, and
//! has that shown next. A flip of a client is over as soon as its picture has been copied; its buffers are its own again then. So the pictures of all views that came in one
//! frame appear in one frame, and none of them is torn unless its own client draws into a picture that it has handed over.
//!
//! This is where pictures are copied by the processor; a client that has the screen for itself copies none.
//!
//! A view whose client ends shows what is below it again. Should the server of the screen end, this ends, too.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::screen::Screen;
use component::server::{Answer, OpenRequest, Server, Sessions, serve};
use component::signal::Signal;
use component::{Account, Attached, Capability, Dataspace, Env, Error, log};
use heapless::Vec;
use session::framebuffer::{Area, FramebufferRequest, Info, MAX_BUFFERS, MIN_BUFFERS, Statistics, WAIT};
use session::{Message, Service};
use zelkova_compositor::{Config, Damage, Rect, Runs, VIEWS, View};

component::entry!(run);

/// Raised at the end of each frame.
const FRAME: u32 = 1;
/// Places for sessions: more than views, so that those who come too late hear that.
const SESSIONS: usize = VIEWS + 4;
/// Buffers of the screen.
const BUFFERS: u32 = 2;
/// Bytes that are copied at a time.
const CHUNK: usize = 1536;

/// A picture of a client.
struct Buffer {
    dataspace: Dataspace,
    memory: Attached,
}

/// A call that is answered later.
struct Waiting {
    reply: Capability,
    until: Until,
}

/// What a client waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Its picture has been copied.
    Copied,
    /// The end of a frame.
    Frame,
}

struct Client {
    /// The number of its view.
    view: usize,
    info: Info,
    buffers: Vec<Buffer, { MAX_BUFFERS as usize }>,
    /// The buffer that is seen, once one has been.
    shown: Option<usize>,
    /// The one that is seen next, and what is new in it.
    next: Option<(usize, Area)>,
    waiting: Option<Waiting>,
    notification: Option<Capability>,
    statistics: Statistics,
    /// Keeps what the session owns until it is closed.
    _account: Account,
}

struct Compositor {
    config: Config,
    screen: Screen,
    /// Views that somebody has.
    taken: [bool; VIEWS],
    damage: Damage,
    /// The screen has to be drawn.
    news: bool,
    /// Flips of the screen that are over when the last one is.
    flips: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let config = env.checked_config(Config::check)?;
    let screen = Screen::open(BUFFERS, config.ram)?;
    let info = screen.info();
    if let Err(error) = config.fits(info.width, info.height) {
        log!("{error}");
        return Err(Error::Invalid);
    }
    let frame = Signal::new(FRAME).ok_or(Error::Invalid)?.capability()?;
    screen.server().connect(frame.slot())?;
    log!("{} views on {} x {}", config.views.len(), info.width, info.height);
    let mut damage = Damage::default();
    damage.add(Rect { left: 0, top: 0, right: info.width, bottom: info.height });
    let mut compositor = Compositor { config, screen, taken: [false; VIEWS], damage, news: true, flips: 0 };
    serve::<_, SESSIONS>(&mut compositor)
}

impl Client {
    fn flip(&mut self, [first, origin, size]: [u32; 3]) -> Result<Answer, Error> {
        let area = Area::from_words([origin, size], self.info.width, self.info.height).ok_or(Error::Invalid)?;
        let buffer = (first & 0xFF) as usize;
        if first & !(WAIT | 0xFF) != 0 || buffer >= self.buffers.len() {
            return Err(Error::Invalid);
        }
        if self.next.is_some() || (first & WAIT != 0 && self.waiting.is_some()) {
            return Err(Error::Busy);
        }
        self.next = Some((buffer, area));
        if first & WAIT != 0 { self.wait(Until::Copied) } else { Ok(Answer::words(&[0, self.statistics.frames])) }
    }

    /// Lets the caller wait.
    fn wait(&mut self, until: Until) -> Result<Answer, Error> {
        if self.waiting.is_some() {
            return Err(Error::Busy);
        }
        self.waiting = Some(Waiting { reply: Capability::save_reply()?, until });
        Ok(Answer::Later)
    }

    /// Answers the call that waits, if it waits for that.
    fn answer(&mut self, until: Until) {
        if let Some(waiting) = self.waiting.take_if(|waiting| waiting.until == until) {
            waiting.reply.reply(&Message::from_words(0, &[0, self.statistics.frames]), &[]);
        }
    }
}

impl Compositor {
    /// Composes, unless the last flip of the screen is not over.
    fn compose_if_idle(&mut self, clients: &mut Vec<&mut Client, SESSIONS>) -> Result<(), Error> {
        let is_idle = self.screen.statistics()?.flips.wrapping_sub(self.flips) < u32::MAX / 2;
        if is_idle { self.compose(clients) } else { Ok(()) }
    }

    /// Draws what is new, and has it shown.
    fn compose(&mut self, clients: &mut Vec<&mut Client, SESSIONS>) -> Result<(), Error> {
        for client in clients.iter_mut() {
            let Some((buffer, area)) = client.next.take() else { continue };
            let rect = self.rect(client.view);
            // The first picture is all new.
            self.damage.add(if client.shown.is_some() { rect.part(area) } else { rect });
            client.shown = Some(buffer);
            client.statistics.flips = client.statistics.flips.wrapping_add(1);
            self.news = true;
        }
        if !core::mem::take(&mut self.news) {
            return Ok(());
        }
        let mut seen: [Option<&Buffer>; VIEWS] = [None; VIEWS];
        let mut strides = [0; VIEWS];
        let mut rects = [None; VIEWS];
        for client in clients.iter() {
            let buffer = client.shown.and_then(|shown| client.buffers.get(shown));
            if let (Some(place), Some(stride), Some(rect)) =
                (seen.get_mut(client.view), strides.get_mut(client.view), rects.get_mut(client.view))
            {
                *place = buffer;
                *stride = client.info.stride;
                *rect = buffer.map(|_| self.rect(client.view));
            }
        }
        let dirty = self.damage.take(self.screen.hidden());
        let info = self.screen.info();
        let bytes = info.format.bytes();
        let pixel = info.format.encode(self.config.background);
        let mut background = [0; CHUNK];
        for place in background.chunks_exact_mut(bytes as usize) {
            place.copy_from_slice(pixel.get(..bytes as usize).unwrap_or(&pixel));
        }
        let mut copied = [0; CHUNK / size_of::<u32>() + 1];
        let pixels = CHUNK as u32 / bytes;
        let mut frame = self.screen.frame();
        for y in dirty.top..dirty.bottom {
            for run in Runs::new(&rects, y, dirty.left, dirty.right) {
                let source = run.view.and_then(|view| Some((*seen.get(view)?, *strides.get(view)?, *rects.get(view)?)));
                for left in (run.left..run.right).step_by(pixels as usize) {
                    let length = ((run.right - left).min(pixels) * bytes) as usize;
                    let line = if let Some((Some(buffer), stride, Some(rect))) = source {
                        let offset = (y - rect.top) * stride + (left - rect.left) * bytes;
                        buffer.memory.read(offset as usize, length, &mut copied)?
                    } else {
                        background.get(..length).unwrap_or_default()
                    };
                    frame.store(left, y, line);
                }
            }
        }
        let area = dirty.area();
        self.screen.write_back(area)?;
        self.screen.begin_show(area)?;
        self.flips = self.flips.wrapping_add(1);
        Ok(())
    }

    fn rect(&self, view: usize) -> Rect {
        self.config.views.get(view).map_or_else(Rect::default, View::rect)
    }
}

impl Server for Compositor {
    type Session = Client;

    fn open(&mut self, request: &OpenRequest, account: Account) -> Result<Client, Error> {
        let view = self.config.view(&request.label).filter(|_| request.service == Service::Framebuffer);
        let view = view.ok_or(Error::Denied)?;
        let taken = self.taken.get_mut(view).ok_or(Error::Denied)?;
        if !(MIN_BUFFERS..=MAX_BUFFERS).contains(&request.argument) {
            return Err(Error::Invalid);
        }
        if *taken {
            return Err(Error::Busy);
        }
        let View { width, height, .. } = *self.config.views.get(view).ok_or(Error::Denied)?;
        let screen = self.screen.info();
        // Lines begin at words.
        let stride = (width * screen.format.bytes()).next_multiple_of(size_of::<u32>() as u32);
        let info = Info { width, height, stride, buffers: request.argument, ..screen };
        let mut buffers = Vec::new();
        for _ in 0..info.buffers {
            let dataspace = account.create_dataspace(info.bytes(), 0)?;
            let memory = Attached::new(&dataspace, 0, Some(&account))?;
            buffers.push(Buffer { dataspace, memory }).map_err(|_| Error::Invalid)?;
        }
        *taken = true;
        Ok(Client {
            view,
            info,
            buffers,
            shown: None,
            next: None,
            waiting: None,
            notification: None,
            statistics: Statistics::default(),
            _account: account,
        })
    }

    fn close(&mut self, mut client: Client) {
        if let Some(waiting) = client.waiting.take() {
            waiting.reply.reply(&Message::new(Error::Gone as u32), &[]);
        }
        if let Some(taken) = self.taken.get_mut(client.view) {
            *taken = false;
        }
        self.damage.add(self.rect(client.view));
        self.news = true;
    }

    fn request(
        &mut self,
        client: &mut Client,
        message: &Message,
        received: Option<Capability>,
    ) -> Result<Answer, Error> {
        match FramebufferRequest::decode(message).ok_or(Error::Invalid)?.0 {
            FramebufferRequest::Info => Ok(Answer::words(&client.info.to_words())),
            FramebufferRequest::Buffer { index } => {
                let buffer = client.buffers.get(index as usize).ok_or(Error::NotFound)?;
                Ok(Answer::capability(buffer.dataspace.slot(), &[]))
            }
            FramebufferRequest::Flip { buffer, origin, size } => client.flip([buffer, origin, size]),
            FramebufferRequest::Sync => client.wait(Until::Frame),
            FramebufferRequest::Statistics => Ok(Answer::words(&client.statistics.to_words())),
            FramebufferRequest::Connect => {
                client.notification = Some(received.ok_or(Error::Invalid)?);
                Ok(Answer::words(&[]))
            }
            // Each has buffers of its own: what is shown is put together from them.
            FramebufferRequest::Import => Err(Error::Invalid),
        }
    }

    fn signal(&mut self, signals: u32, mut sessions: Sessions<'_, Client>) {
        if signals & 1 << FRAME == 0 {
            return;
        }
        let mut clients: Vec<&mut Client, SESSIONS> = sessions.iter_mut().collect();
        let is_wanted = self.news || clients.iter().any(|client| client.next.is_some());
        let composed = if is_wanted { self.compose_if_idle(&mut clients) } else { Ok(()) };
        if let Err(error) = composed {
            log!("the screen is lost: {error}");
            component::exit(1, "no screen");
        }
        for client in clients {
            client.statistics.frames = client.statistics.frames.wrapping_add(1);
            if client.next.is_none() {
                client.answer(Until::Copied);
            }
            client.answer(Until::Frame);
            if let Some(notification) = &client.notification {
                component::gate::signal(notification.slot());
            }
        }
    }
}
