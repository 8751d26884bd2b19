//! A visit: everything that a page's handler gets, already checked by the layer.

use std::sync::Mutex;

use askama::Template;
use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use sealpost_audit::Caller;
use sealpost_identity::Session;
use sealpost_model::{Client, Secret};
use sealpost_pickup::{Browser, Link, Opened, Sender};

use crate::answer::Answer;
use crate::app::{BRAND, Web};
use crate::cookie::{Cookie, device};
use crate::form::{Fields, Upload};
use crate::page::{Moment, Page};
use crate::problem::Problem;
use crate::words::Lang;

/// A visit to one page.
pub struct Cx {
    /// The application.
    pub app: Web,
    /// The reader's language.
    pub lang: Lang,
    /// Where the visitor came from.
    pub client: Client,
    /// Who the visitor proved to be: as much as the route asks for.
    pub visitor: Visitor,
    /// What stands behind the `?`.
    pub query: Fields,
    /// The form, whose token was right.
    pub form: Fields,
    pub(crate) path: String,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) nonce: String,
    pub(crate) form_cookie: String,
    /// A multipart body that nobody has read. (A body can't be shared between threads, hence the lock.)
    pub(crate) request: Mutex<Option<Request>>,
    pub(crate) cookies: axum::http::HeaderMap,
}

/// Who a visitor proved to be.
pub enum Visitor {
    /// Anybody.
    Anyone,
    /// The holder of a link, which proves nothing yet.
    Link(Link),
    /// A recipient who opened a message.
    Opened(Link, Box<Opened>),
    /// Somebody signed in.
    Person(Box<Session>),
}

impl Cx {
    /// The same visit without form, body and visitor: what is needed to say that something went wrong.
    pub(crate) fn echo(&self) -> Self {
        Self {
            app: self.app.clone(),
            lang: self.lang,
            client: self.client,
            visitor: Visitor::Anyone,
            query: Fields::default(),
            form: Fields::default(),
            path: self.path.clone(),
            params: self.params.clone(),
            nonce: self.nonce.clone(),
            form_cookie: self.form_cookie.clone(),
            request: Mutex::default(),
            cookies: self.cookies.clone(),
        }
    }

    /// The part of the path with this name.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// The link's token as it stands in paths.
    pub fn link(&self) -> Result<&Link, Problem> {
        match &self.visitor {
            Visitor::Link(link) | Visitor::Opened(link, _) => Ok(link),
            Visitor::Anyone | Visitor::Person(_) => Err(Problem::NotFound),
        }
    }

    /// The opened message.
    pub fn opened(&self) -> Result<&Opened, Problem> {
        match &self.visitor {
            Visitor::Opened(_, opened) => Ok(opened),
            _ => Err(Problem::NotFound),
        }
    }

    /// The signed-in person.
    pub fn person(&self) -> Result<&Session, Problem> {
        match &self.visitor {
            Visitor::Person(session) => Ok(session),
            _ => Err(Problem::NotFound),
        }
    }

    /// The signed-in person as a sender; whoever has no mailbox has sent nothing.
    pub fn sender(&self) -> Result<Sender, Problem> {
        let login = &self.person()?.login;
        let caller = Caller { actor: login.actor, client: self.client };
        Ok(Sender { caller, tenant: login.tenant, account: login.account.ok_or(Problem::NotFound)? })
    }

    /// A cookie's value.
    pub fn cookie(&self, cookie: Cookie) -> Option<Secret<String>> {
        cookie.read(&self.cookies).map(|v| Secret::new(v.to_owned()))
    }

    /// What this browser brings to the portal's door.
    pub fn browser(&self, shared: bool) -> Browser {
        let devices = device::read(&self.cookies).into_iter().map(|(_, v)| Secret::new(v.to_owned()));
        Browser { session: self.cookie(Cookie::Pickup), devices: devices.collect(), shared }
    }

    /// The frame for a page with this title.
    pub fn page(&self, title: impl Into<String>) -> Page {
        Page {
            lang: self.lang,
            title: title.into(),
            brand: BRAND.to_owned(),
            who: match &self.visitor {
                Visitor::Person(session) => Some(session.login.address.to_string()),
                _ => None,
            },
            csrf: self.app.form_token(&self.form_cookie),
            nonce: self.nonce.clone(),
            back: self.path.clone(),
            leaves: None,
            scripts: &["time.js"],
        }
    }

    /// The frame for a page of an organisation.
    pub fn page_of(&self, organisation: &str, title: impl Into<String>) -> Page {
        let mut page = self.page(title);
        if !organisation.is_empty() {
            page.brand = organisation.to_owned();
        }
        page
    }

    /// A text of the catalogue.
    pub fn w(&self, key: &str) -> &'static str {
        self.lang.word(key)
    }

    /// A time for people.
    pub fn moment(&self, time: sealpost_model::Time) -> Moment {
        Moment::new(self.lang, time)
    }

    /// The multipart body, once its first field has proved to come from our page.
    pub async fn upload(&mut self) -> Result<Upload, Problem> {
        let request =
            self.request.get_mut().ok().and_then(Option::take).unwrap_or_else(|| Request::new(Body::empty()));
        let mut multipart = Multipart::from_request(request, &()).await.map_err(|_| Problem::BadForm)?;
        let first = tokio::time::timeout(crate::form::PATIENCE, multipart.next_field()).await;
        let token = match first {
            Ok(Ok(Some(field))) if field.name() == Some("csrf") => crate::form::text(field, 64).await.ok(),
            _ => None,
        };
        match token {
            Some(token) if self.app.is_form_token(&self.form_cookie, &token) => Ok(Upload::new(multipart)),
            _ => Err(Problem::BadForm),
        }
    }
}

/// Prints a template as a page.
pub fn show(template: &impl Template) -> Result<Answer, Problem> {
    show_as(StatusCode::OK, template)
}

/// Prints a template as a page with a status.
pub fn show_as(status: StatusCode, template: &impl Template) -> Result<Answer, Problem> {
    match template.render() {
        Ok(html) => Ok(Answer::page(status, html)),
        Err(error) => {
            tracing::error!(%error, "a page could not be printed");
            Err(Problem::Broken)
        }
    }
}
