//! hyper as it is benchmarked: on tokio's runtime of one thread for one worker, else on that of several; a head may take
//! as long as a request of the other servers. hyper 0.14 has no limit of the time that a connection may be idle, so --idle-timeout has no effect.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use hyper::body::{Bytes, HttpBody};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::service::{make_service_fn, service_fn};
use hyper::{Body, Method, Request, Response, Server, StatusCode};

const DOWNLOAD_SIZE_MAX: u64 = 1 << 30;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

struct Flags {
    address: SocketAddr,
    workers: usize, // 0: one a core
    request_timeout: Duration,
}

/// Reads `-a ADDRESS -p PORT --worker-count=N --request-timeout=SECONDS --idle-timeout=SECONDS`.
fn flags() -> Result<Flags, String> {
    let (mut ip, mut port) = ("127.0.0.1".to_string(), 3275u16);
    let (mut workers, mut request_timeout) = (0, 20);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_string(), value.to_string()),
            None => (word.clone(), words.next().ok_or(format!("{word} has no value"))?),
        };
        let bad = |_| format!("{name}={value} is not a number");
        match name.as_str() {
            "-a" => ip = value.clone(),
            "-p" => port = value.parse().map_err(bad)?,
            "--worker-count" => workers = value.parse().map_err(bad)?,
            "--request-timeout" => request_timeout = value.parse().map_err(bad)?,
            "--idle-timeout" => {}
            _ => return Err(format!("{name} is no flag")),
        }
    }
    let address = format!("{ip}:{port}").parse().map_err(|_| format!("{ip}:{port} is no address"))?;
    Ok(Flags { address, workers, request_timeout: Duration::from_secs(request_timeout) })
}

async fn answer(request: Request<Body>) -> Result<Response<Body>, hyper::Error> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/hello") => Ok(text("Hello World!")),
        (&Method::POST, "/upload") => {
            let mut body = request.into_body();
            let mut size = 0;
            while let Some(part) = body.data().await {
                size += part?.len();
            }
            Ok(text(size.to_string()))
        }
        (&Method::GET, "/download") => Ok(download(request.uri().query().unwrap_or(""))),
        _ => Ok(status(StatusCode::NOT_FOUND)),
    }
}

fn text(body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, "text/plain".parse().unwrap());
    response
}

fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}

fn download(query: &str) -> Response<Body> {
    let size = match query.strip_prefix("size=").and_then(|size| size.parse::<u64>().ok()) {
        Some(size) if size <= DOWNLOAD_SIZE_MAX => size,
        _ => return status(StatusCode::BAD_REQUEST),
    };
    let mut response = Response::new(Body::wrap_stream(Zeros { left: size }));
    response.headers_mut().insert(CONTENT_LENGTH, size.into());
    response
}

/// As many zeros as are left, in parts that are not copied.
struct Zeros {
    left: u64,
}

impl Stream for Zeros {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let size = self.left.min(ZEROS.len() as u64);
        self.left -= size;
        Poll::Ready((size > 0).then(|| Ok(Bytes::from_static(&ZEROS[..size as usize]))))
    }
}

async fn serve(flags: Flags) -> Result<(), hyper::Error> {
    let make = make_service_fn(|_| async { Ok::<_, Infallible>(service_fn(answer)) });
    Server::try_bind(&flags.address)?
        .http1_only(true)
        .http1_header_read_timeout(flags.request_timeout)
        .http1_pipeline_flush(true)
        .tcp_nodelay(true)
        .serve(make)
        .await
}

fn main() {
    let flags = flags().unwrap_or_else(|text| {
        eprintln!("{text}");
        std::process::exit(2)
    });
    // One worker of a runtime for many would share its core with the thread that accepts, and starve connections.
    let mut runtime = match flags.workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if flags.workers > 1 {
        runtime.worker_threads(flags.workers);
    }
    let served = runtime.enable_all().build().expect("a runtime").block_on(serve(flags));
    if let Err(fault) = served {
        eprintln!("{fault}");
        std::process::exit(1)
    }
}
