//! Certificates from an ACME server (RFC 8555): an account, and orders that prove that a name is ours.
//!
//! What must be remembered (the account, a challenge that is open, what was issued) is the caller's: the account is a
//! secret text, and a [`Responder`] shows challenges where the ACME server will look for them, on every node.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Request;
use instant_acme::{
    AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, HttpClient, Identifier, KeyAuthorization,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use sealpost_model::Secret;

use crate::https::HttpsClient;
use crate::{BoxFuture, Error, Result, ServerCertificate};

/// How an ACME server looks whether a name is ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// A path on port 80 (RFC 8555 section 8.3).
    Http,
    /// A certificate on port 443 (RFC 8737).
    TlsAlpn,
}

/// What has to be shown while an order is open.
#[derive(Debug)]
pub struct Challenge {
    /// The host name.
    pub name: String,
    /// What stands in the path: `/.well-known/acme-challenge/TOKEN`.
    pub token: String,
    /// What is answered there.
    pub answer: String,
    /// What is shown on port 443, for [`Way::TlsAlpn`].
    pub certificate: Option<ServerCertificate>,
}

/// Shows challenges.
pub trait Responder: Send + Sync {
    /// From when this returns on, the challenge is answered.
    fn show<'a>(&'a self, challenge: &'a Challenge) -> BoxFuture<'a, std::result::Result<(), String>>;

    /// It need not be answered any more.
    fn hide<'a>(&'a self, challenge: &'a Challenge) -> BoxFuture<'a, ()>;
}

/// What was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The chain, PEM.
    pub chain: String,
    /// Its key, PEM.
    pub key: Secret<String>,
}

/// An account with an ACME server.
pub struct Account(instant_acme::Account);

impl Account {
    /// Makes a new account, and the text by which it is opened again. To call this is to agree to the server's terms.
    ///
    /// # Errors
    /// [`Error::Acme`].
    pub async fn create(
        http: &HttpsClient,
        directory: &str,
        contact: Option<&str>,
    ) -> Result<(Self, Secret<String>)> {
        let contact: Vec<&str> = contact.into_iter().collect();
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let builder = instant_acme::Account::builder_with_http(Box::new(http.clone()));
        let (account, credentials) =
            builder.create(&new, directory.to_owned(), None).await.map_err(|e| said(&e))?;
        let text = serde_json::to_string(&credentials).map_err(|e| Error::Acme(e.to_string()))?;
        Ok((Self(account), text.into()))
    }

    /// Opens an account.
    ///
    /// # Errors
    /// [`Error::Acme`].
    pub async fn open(http: &HttpsClient, text: &Secret<String>) -> Result<Self> {
        let credentials = serde_json::from_str(text.expose())
            .map_err(|_| Error::Acme("the stored account can't be read".into()))?;
        let builder = instant_acme::Account::builder_with_http(Box::new(http.clone()));
        Ok(Self(builder.from_credentials(credentials).await.map_err(|e| said(&e))?))
    }

    /// Orders a certificate for one name with a new key, proving in the first of `ways` that the server offers.
    ///
    /// # Errors
    /// [`Error::Acme`], with what the ACME server says is wrong.
    pub async fn order(&self, name: &str, ways: &[Way], responder: &dyn Responder) -> Result<Issued> {
        let identifiers = [Identifier::Dns(name.to_owned())];
        let mut order = self.0.new_order(&NewOrder::new(&identifiers)).await.map_err(|e| said(&e))?;
        let mut shown = Vec::new();
        let proved = prove(&mut order, name, ways, responder, &mut shown).await;
        for challenge in &shown {
            responder.hide(challenge).await;
        }
        proved?;

        let made = || -> std::result::Result<_, rcgen::Error> {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new([name.to_owned()])?;
            params.distinguished_name = DistinguishedName::new();
            Ok((params.serialize_request(&key)?, key))
        };
        let (csr, key) = made().map_err(|e| Error::Acme(format!("no request could be made: {e}")))?;
        order.finalize_csr(csr.der()).await.map_err(|e| said(&e))?;
        let chain = order.poll_certificate(&RETRIES).await.map_err(|e| said(&e))?;
        let issued = Issued { chain, key: key.serialize_pem().into() };
        if !issued.certificate()?.names(name) {
            return Err(Error::Acme("the ACME server issued a certificate for another name".into()));
        }
        Ok(issued)
    }
}

impl Issued {
    /// Ready to serve.
    ///
    /// # Errors
    /// [`Error::Certificate`].
    pub fn certificate(&self) -> Result<ServerCertificate> {
        ServerCertificate::from_pem(self.chain.as_bytes(), self.key.expose().as_bytes())
    }
}

async fn prove(
    order: &mut Order,
    name: &str,
    ways: &[Way],
    responder: &dyn Responder,
    shown: &mut Vec<Challenge>,
) -> Result<()> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|e| said(&e))?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let offers = |way: &&Way| authorization.challenges.iter().any(|c| c.r#type == kind(**way));
        let Some(&way) = ways.iter().find(offers) else {
            return Err(Error::Acme("the ACME server offers none of the ways that this server has".into()));
        };
        let Some(mut challenge) = authorization.challenge(kind(way)) else { continue };
        let answer = challenge.key_authorization();
        let certificate = if way == Way::TlsAlpn { Some(proof(name, &answer)?) } else { None };
        let (token, text) = (challenge.token.clone(), answer.as_str().to_owned());
        let open = Challenge { name: name.to_owned(), token, answer: text, certificate };
        responder.show(&open).await.map_err(Error::Acme)?;
        shown.push(open);
        challenge.set_ready().await.map_err(|e| said(&e))?;
    }
    match order.poll_ready(&RETRIES).await.map_err(|e| said(&e))? {
        OrderStatus::Invalid => Err(Error::Acme(why(order).await)),
        _ => Ok(()),
    }
}

/// What the ACME server found when it looked.
async fn why(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|c| c.error.as_ref()) {
            return format!("the ACME server could not see that the name is ours: {problem}");
        }
    }
    "the ACME server could not see that the name is ours, and does not say why".into()
}

const fn kind(way: Way) -> ChallengeType {
    match way {
        Way::Http => ChallengeType::Http01,
        Way::TlsAlpn => ChallengeType::TlsAlpn01,
    }
}

/// The certificate of RFC 8737 section 3: self-signed, with the hash of the answer.
fn proof(name: &str, answer: &KeyAuthorization) -> Result<ServerCertificate> {
    let make = || -> std::result::Result<_, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(answer.digest().as_ref())];
        Ok((params.self_signed(&key)?.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der())))
    };
    let (certificate, key) = make().map_err(|e| Error::Acme(format!("no proof could be made: {e}")))?;
    ServerCertificate::for_challenge(certificate, key.into())
}

fn said(error: &instant_acme::Error) -> Error {
    match error {
        instant_acme::Error::Other(inner) => Error::Acme(inner.to_string()),
        other => Error::Acme(other.to_string()),
    }
}

impl HttpClient for HttpsClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = std::result::Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
            let answer = Self::request(&client, Request::from_parts(parts, body)).await;
            let (parts, body) = answer.map_err(|e| instant_acme::Error::Other(Box::new(e)))?.into_parts();
            Ok(BytesResponse { parts, body: Box::new(body) })
        })
    }
}

/// An ACME server looks from several places, and an order may wait for a person there.
const RETRIES: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(500)).timeout(Duration::from_secs(120));
