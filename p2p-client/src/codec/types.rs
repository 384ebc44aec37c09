//! The messages of the standard library, and of this crate's ids.

mod collections;
mod numbers;

use std::{borrow::Cow, sync::Arc};

use crate::protocol::{ClusterId, NodeId};

use super::{Message, Reader, bounded::within, writer::write_str};

impl Message for bool {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
        Ok(())
    }

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        if reader.accept("true") { Some(true) } else { reader.literal("false").map(|()| false) }
    }
}

impl Message for () {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        out.extend_from_slice(b"null");
        Ok(())
    }

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.literal("null")
    }
}

impl Message for char {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        write_str(self.encode_utf8(&mut [0; 4]), out);
        Ok(())
    }

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.str()?;
        let mut chars = text.chars();
        chars.next().filter(|_| chars.as_str().is_empty())
    }
}

/// Types that travel as a string: how it is lent by them, and how they are made of one.
macro_rules! strings {
    ($($type:ty, |$value:ident| $lent:expr, |$text:ident| $made:expr;)*) => {$(
        impl Message for $type {
            #[inline]
            fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
                let $value = self;
                write_str($lent, out);
                Ok(())
            }

            #[inline]
            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                let $text = reader.str()?;
                $made
            }
        }
    )*};
}

strings! {
    String, |text| text, |text| Some(text.into_owned());
    Box<str>, |text| text, |text| Some(text.into());
    Arc<str>, |text| text, |text| Some(text.into());
    Cow<'static, str>, |text| text, |text| Some(Cow::Owned(text.into_owned()));
    NodeId, |id| id.as_str(), |text| Self::new(&text).ok();
    ClusterId, |id| id.as_str(), |text| text.parse().ok();
}

/// What JSON does not see: it holds one value, and travels as that.
macro_rules! holders {
    ($($holder:ident)*) => {$(
        impl<T: Message> Message for $holder<T>
        where
            Self: serde::Serialize + serde::de::DeserializeOwned,
        {
            #[inline]
            fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
                within(|| T::write(self, out))
            }

            #[inline]
            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                T::read(reader).map(Self::new)
            }
        }
    )*};
}

holders!(Box Arc);

impl<T: Message> Message for Option<T> {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match self {
            Some(value) => value.write(out),
            None => ().write(out),
        }
    }

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        if reader.is_null() { reader.literal("null").map(|()| None) } else { T::read(reader).map(Some) }
    }
}
