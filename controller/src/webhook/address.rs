//! Where a webhook may lead: to public addresses, unless the controller was told otherwise. What an
//! editor of webhooks could reach here and not from their own machine is none of theirs.
//!
//! Looked at twice: an address in a URL when the webhook is added and at each try, and whatever a name
//! leads to at each connection, as it may lead elsewhere by then.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// As the table's CHECK.
const URL_MAX: usize = 2_000;

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Public,
    Anywhere,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    #[error("`url` has {0} characters; it may have {URL_MAX}")]
    Long(usize),
    #[error("`url` is no URL; it looks like https://example.com/hook")]
    NoUrl,
    #[error("`url` begins with `{0}:`; it must be http or https")]
    Scheme(String),
    #[error("`url` holds a user name or password: put a secret into its path, or check signatures")]
    Credentials,
    #[error(transparent)]
    Private(#[from] Private),
}

/// An address that is not reached from everywhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{host}` leads to {address}, which is no public address: a controller sends there if it is \
     started with --webhooks-to-private"
)]
pub struct Private {
    host: String,
    address: IpAddr,
}

/// The URL of a webhook, as it is stored.
///
/// # Errors
/// Nothing is sent there, and why.
pub fn parse(text: &str, reach: Reach) -> Result<Url, BadUrl> {
    let long = |text: &str| {
        let n = text.chars().count();
        (URL_MAX < n).then_some(BadUrl::Long(n)).map_or(Ok(()), Err)
    };
    long(text)?;
    let url = Url::parse(text).map_err(|_| BadUrl::NoUrl)?;
    // escapes make it longer
    long(url.as_str())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(BadUrl::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BadUrl::Credentials);
    }
    check(&url, reach)?;
    Ok(url)
}

/// The address that stands in a URL, if one does: no resolver is asked about it.
///
/// # Errors
/// It is not public.
pub fn check(url: &Url, reach: Reach) -> Result<(), Private> {
    // all ways to write an IPv4 address have become one by now
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse() {
        Ok(address) if reach == Reach::Public && !is_public(address) => {
            Err(Private { host: host.to_owned(), address })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Resolves names as the system does, and keeps what is public.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let (public, private): (Vec<SocketAddr>, Vec<SocketAddr>) =
                found.partition(|address| is_public(address.ip()));
            if let (true, Some(first)) = (public.is_empty(), private.first()) {
                let host = name.as_str().to_owned();
                return Err(Private { host, address: first.ip() }.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Networks of IPv4 that are not reached from everywhere, with the bits that name them: IANA's registry
/// of special-purpose addresses (RFC 6890).
const V4_SPECIAL: [(Ipv4Addr, u32); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),          // this network: RFC 791
    (Ipv4Addr::new(10, 0, 0, 0), 8),         // private: RFC 1918
    (Ipv4Addr::new(100, 64, 0, 0), 10),      // shared by customers of a carrier: RFC 6598
    (Ipv4Addr::new(127, 0, 0, 0), 8),        // loopback: RFC 1122
    (Ipv4Addr::new(168, 63, 129, 16), 32),   // a cloud's own service on each of its machines
    (Ipv4Addr::new(169, 254, 0, 0), 16),     // link-local, and metadata of clouds: RFC 3927
    (Ipv4Addr::new(172, 16, 0, 0), 12),      // private: RFC 1918
    (Ipv4Addr::new(192, 0, 0, 0), 24),       // protocol assignments: RFC 6890
    (Ipv4Addr::new(192, 0, 2, 0), 24),       // documentation: RFC 5737
    (Ipv4Addr::new(192, 88, 99, 0), 24),     // relays of 6to4: RFC 7526
    (Ipv4Addr::new(192, 168, 0, 0), 16),     // private: RFC 1918
    (Ipv4Addr::new(198, 18, 0, 0), 15),      // benchmarks: RFC 2544
    (Ipv4Addr::new(198, 51, 100, 0), 24),    // documentation: RFC 5737
    (Ipv4Addr::new(203, 0, 113, 0), 24),     // documentation: RFC 5737
    (Ipv4Addr::new(224, 0, 0, 0), 4),        // multicast: RFC 5771
    (Ipv4Addr::new(240, 0, 0, 0), 4),        // reserved: RFC 1112
    (Ipv4Addr::new(255, 255, 255, 255), 32), // broadcast: RFC 919
];

/// Of IPv6, within what is global unicast at all.
const V6_SPECIAL: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo: RFC 2928, RFC 4380
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation: RFC 3849
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4, which holds an IPv4 address: RFC 3056
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation: RFC 9637
];
/// Global unicast: RFC 4291, 2.5.4. Loopback, link-local, unique local (RFC 4193), multicast and addresses
/// of IPv4 as IPv6 lie elsewhere.
const V6_GLOBAL: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// Where a network translates to IPv4, it is the address within that counts: RFC 6052.
const V6_NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_in = |(network, bits): &(Ipv4Addr, u32)| {
        (address.to_bits() ^ network.to_bits()).leading_zeros() >= *bits
    };
    !V4_SPECIAL.iter().any(is_in)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let is_in = |(network, bits): &(Ipv6Addr, u32)| {
        (address.to_bits() ^ network.to_bits()).leading_zeros() >= *bits
    };
    if let Some(within) = address.to_ipv4_mapped() {
        return is_public_v4(within);
    }
    if is_in(&V6_NAT64) {
        let [.., a, b, c, d] = address.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    is_in(&V6_GLOBAL) && !V6_SPECIAL.iter().any(is_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_reached_from_everywhere_is_public() {
        let private = "0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.255 \
            168.63.129.16 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 \
            192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 \
            240.0.0.1 255.255.255.255 :: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 \
            ::ffff:169.254.169.254 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 64:ff9b:1::1 100::1 \
            2001::1 2001:1ff::1 2001:db8::1 2002:7f00:1::1 3fff::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 \
            ff02::1";
        for address in private.split_whitespace() {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        let public = "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 \
            128.0.0.0 168.63.129.17 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 198.17.255.255 \
            198.20.0.0 223.255.255.255 ::ffff:1.1.1.1 64:ff9b::1.1.1.1 2001:200::1 2606:4700::1111 \
            2a00:1450::1";
        for address in public.split_whitespace() {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn an_address_is_known_however_it_is_written() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
            "http://%31%32%37.0.0.1/",
            "http://１２７.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "https://[fe80::1]:8443/x",
        ] {
            let refused = parse(url, Reach::Public);
            assert!(matches!(refused, Err(BadUrl::Private(_))), "{url}: {refused:?}");
            assert!(parse(url, Reach::Anywhere).is_ok(), "{url}");
        }
        for url in ["https://example.com/hook", "http://1.1.1.1:80/", "https://[2606:4700::1111]/"]
        {
            assert!(parse(url, Reach::Public).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_no_place_to_send_to_is_refused() {
        let why = |url: &str| parse(url, Reach::Anywhere).unwrap_err().to_string();
        assert!(why("nothing").contains("is no URL"));
        assert!(why("http://").contains("is no URL"));
        assert!(why("ftp://example.com/").contains("begins with `ftp:`"));
        assert!(why("file:///etc/passwd").contains("begins with `file:`"));
        assert!(why("https://anna:word@example.com/").contains("user name"));
        assert!(
            why(&format!("https://example.com/{}", "x".repeat(2_000))).contains("may have 2000")
        );
        assert!(
            why(&format!("https://example.com/{}", "ü".repeat(1_000))).contains("may have 2000")
        );
    }
}
