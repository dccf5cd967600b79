//! Seeded pseudo-random numbers (SplitMix64): the same seed gives the same numbers on every machine and version.
//!
//! It lives here because seeds are evidence: a simulation, a simulated fault or a demo model must come out the same
//! years later, which libraries of random numbers do not promise across versions. Not for cryptography.

/// A generator; its whole state is the seed it was made from and how often it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng(u64);

impl Rng {
    /// Starts from `seed`; every seed is as good as any other.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 uniform bits.
    pub const fn bits(&mut self) -> u64 {
        // Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `[low, high]`, both included.
    ///
    /// # Panics
    /// If `low > high`.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high);
        let span = (high - low) as u128 + 1;
        low + ((self.bits() as u128 * span) >> 64) as u64
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True once in `n` on average; never for 0.
    pub const fn one_in(&mut self, n: u64) -> bool {
        n != 0 && self.between(1, n) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn reference_values() {
        // Published test vector of SplitMix64 for seed 1234567.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.bits(), 6_457_827_717_110_365_317);
        assert_eq!(rng.bits(), 3_203_168_211_198_807_973);
        assert_eq!(rng.bits(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn ranges_are_closed_and_reached() {
        let mut rng = Rng::new(1);
        let mut seen = [false; 3];
        for _ in 0..100 {
            seen[usize::try_from(rng.between(5, 7)).unwrap() - 5] = true;
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(rng.between(9, 9), 9);
        assert_eq!(Rng::new(7).between(0, u64::MAX), Rng::new(7).bits());
    }
}
