//! Writing.

use super::{
    BYE, COUNT_MAX, HEADER_BYTES, RECEIVER_REPORT, REPORT_BLOCK_BYTES, ReportBlock, SDES_CNAME,
    SENDER_INFO_BYTES, SENDER_REPORT, SOURCE_DESCRIPTION, SSRC_BYTES, SenderInfo,
};

/// A report of our own: SR or RR, SDES with the CNAME, and BYE where the stream ends (RFC 3550 §6.1).
#[derive(Clone, Copy, Debug)]
pub struct OwnReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    /// Of the stream that it sends; `None` makes a receiver's report.
    pub sender: Option<SenderInfo>,
    /// Of the streams that it receives; at most 31.
    pub blocks: &'a [ReportBlock],
    /// Canonical name (RFC 7022); at most 255 bytes.
    pub cname: &'a str,
    /// The stream ends.
    pub is_leaving: bool,
}

/// The report is longer than the buffer, or has more in it than its format can count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom;

impl OwnReport<'_> {
    /// Writes the compound packet to the beginning of the buffer, and says how long it is, in bytes. A buffer
    /// that is too short has some of it then.
    pub fn write(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let mut out = Out { buffer, written: 0 };
        self.write_report(&mut out)?;
        self.write_cname(&mut out)?;
        if self.is_leaving {
            out.header(BYE, 1, SSRC_BYTES)?;
            out.word(self.ssrc)?;
        }
        Ok(out.written)
    }

    fn write_report(&self, out: &mut Out<'_>) -> Result<(), NoRoom> {
        let blocks = self.blocks.len() * REPORT_BLOCK_BYTES;
        let count = self.blocks.len();
        match &self.sender {
            Some(info) => {
                let bytes = SSRC_BYTES + SENDER_INFO_BYTES + blocks;
                out.header(SENDER_REPORT, count, bytes)?;
                out.word(self.ssrc)?;
                out.put(&info.ntp.to_be_bytes())?;
                out.word(info.rtp_timestamp)?;
                out.word(info.packets)?;
                out.word(info.bytes)?;
            }
            None => {
                out.header(RECEIVER_REPORT, count, SSRC_BYTES + blocks)?;
                out.word(self.ssrc)?;
            }
        }
        self.blocks.iter().try_for_each(|block| out.block(block))
    }

    fn write_cname(&self, out: &mut Out<'_>) -> Result<(), NoRoom> {
        let length = u8::try_from(self.cname.len()).map_err(|_| NoRoom)?;
        // Type, length, text, and a zero at least.
        let items = 2 + self.cname.len() + 1;
        let padded = items.next_multiple_of(4);
        out.header(SOURCE_DESCRIPTION, 1, SSRC_BYTES + padded)?;
        out.word(self.ssrc)?;
        out.put(&[SDES_CNAME, length])?;
        out.put(self.cname.as_bytes())?;
        let zeros = [0; 4];
        out.put(zeros.get(..1 + padded - items).ok_or(NoRoom)?)
    }
}

struct Out<'a> {
    buffer: &'a mut [u8],
    written: usize,
}

impl Out<'_> {
    /// `bytes`: of the packet after the header, whole words.
    fn header(&mut self, packet_type: u8, count: usize, bytes: usize) -> Result<(), NoRoom> {
        if count > COUNT_MAX {
            return Err(NoRoom);
        }
        let count = u8::try_from(count).map_err(|_| NoRoom)?;
        let words = u16::try_from(bytes / HEADER_BYTES).map_err(|_| NoRoom)?;
        self.put(&[0x80 | count, packet_type])?;
        self.put(&words.to_be_bytes())
    }

    fn block(&mut self, block: &ReportBlock) -> Result<(), NoRoom> {
        let lost = block.lost.clamp(-0x80_0000, 0x7f_ffff).cast_unsigned() & 0xff_ffff;
        self.word(block.ssrc)?;
        self.word(u32::from(block.fraction_lost) << 24 | lost)?;
        self.word(block.highest_sequence)?;
        self.word(block.jitter)?;
        self.word(block.last_sender_report)?;
        self.word(block.delay_since_last_sender_report)
    }

    fn word(&mut self, word: u32) -> Result<(), NoRoom> {
        self.put(&word.to_be_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let end = self.written + bytes.len();
        let place = self.buffer.get_mut(self.written..end).ok_or(NoRoom)?;
        place.copy_from_slice(bytes);
        self.written = end;
        Ok(())
    }
}
