//! Lists, maps, arrays and tuples.

use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasher,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{super::bounded::within, Message, Reader, write_str};

impl<T: Message> Message for Vec<T> {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        write_list(self, out)
    }

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut list = Self::new();
        reader.list(|reader| {
            list.push(T::read(reader)?);
            Some(())
        })?;
        Some(list)
    }
}

// serde has arrays up to a length of 32.
impl<T: Message, const N: usize> Message for [T; N]
where
    Self: Serialize + DeserializeOwned,
{
    #[inline]
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        write_list(self, out)
    }

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Vec::read(reader)?.try_into().ok()
    }
}

#[inline]
fn write_list<T: Message>(list: &[T], out: &mut Vec<u8>) -> serde_json::Result<()> {
    out.push(b'[');
    let write = |out: &mut Vec<u8>| {
        list.iter().enumerate().try_for_each(|(index, item)| {
            if index > 0 {
                out.push(b',');
            }
            item.write(out)
        })
    };
    // What holds more of its own type does so by something that has to be dropped: numbers do not.
    if const { std::mem::needs_drop::<T>() } {
        within(|| write(out))?;
    } else {
        write(out)?;
    }
    out.push(b']');
    Ok(())
}

impl<T: Message> Message for BTreeMap<String, T> {
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        write_map(self, out)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut map = Self::new();
        reader.object(|key, reader| {
            map.insert(key.into_owned(), T::read(reader)?);
            Some(())
        })?;
        Some(map)
    }
}

impl<T: Message, S: BuildHasher + Default> Message for HashMap<String, T, S> {
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        write_map(self, out)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut map = Self::default();
        reader.object(|key, reader| {
            map.insert(key.into_owned(), T::read(reader)?);
            Some(())
        })?;
        Some(map)
    }
}

fn write_map<'a, T: Message + 'a>(
    map: impl IntoIterator<Item = (&'a String, &'a T)>,
    out: &mut Vec<u8>,
) -> serde_json::Result<()> {
    out.push(b'{');
    within(|| {
        map.into_iter().enumerate().try_for_each(|(index, (key, value))| {
            if index > 0 {
                out.push(b',');
            }
            write_str(key, out);
            out.push(b':');
            value.write(out)
        })
    })?;
    out.push(b'}');
    Ok(())
}

macro_rules! tuples {
    ($(($first:ident $($rest:ident)*))*) => {$(
        impl<$first: Message, $($rest: Message),*> Message for ($first, $($rest,)*) {
            #[inline]
            #[allow(non_snake_case, reason = "a value is called as its type is")]
            fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
                let ($first, $($rest,)*) = self;
                out.push(b'[');
                $first.write(out)?;
                $(
                    out.push(b',');
                    $rest.write(out)?;
                )*
                out.push(b']');
                Ok(())
            }

            #[inline]
            #[allow(non_snake_case, reason = "a value is called as its type is")]
            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                reader.open("[")?;
                let $first = $first::read(reader)?;
                $(
                    reader.literal(",")?;
                    let $rest = $rest::read(reader)?;
                )*
                reader.close("]")?;
                Some(($first, $($rest,)*))
            }
        }
    )*};
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }
