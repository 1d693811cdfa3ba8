//! What can happen at the kubelet, drawn by lot.

use onload_tests::machine::kubelet::Word;

use super::happening::Schedule;

impl Schedule {
    pub fn at_the_kubelet(&mut self) {
        match self.random.u32(0..10) {
            0 => {
                let words =
                    [Word::True, Word::True, Word::Silent, Word::Stale, Word::Blank, Word::CutOff];
                let word = *self.random.choice(&words).unwrap();
                self.machine.restart_kubelet(word);
            }
            1 => {
                let pool = self.pool();
                self.machine.register(&pool, false);
            }
            2 | 3 => {
                let pool = self.pool();
                self.machine.register(&pool, true);
            }
            4 | 5 => {
                let pods: Vec<_> = self.machine.kubelet.pods().keys().cloned().collect();
                if let Some(pod) = self.random.choice(&pods) {
                    assert!(self.machine.kubelet.stop(pod));
                }
            }
            // It reaches its API server.
            6 if self.machine.kubelet.word() == Word::CutOff => {
                self.machine.kubelet.say_from_now(self.machine.now().boot.0, Word::True);
            }
            _ => self.pod_comes(),
        }
    }

    fn pod_comes(&mut self) {
        let pool = self.pool();
        let count = self.random.usize(1..3);
        let random = &mut self.random;
        if let Some(devices) = self.machine.kubelet.choose(&pool, count, Some(random)) {
            self.born += 1;
            let kind = match self.born % 4 {
                0 => "init",
                1 => "mixed",
                _ => "pod",
            };
            self.machine.admit(&format!("{kind}-{}", self.born), &pool, devices);
        } else {
            // It fails for good; the next one finds the plugin there.
            self.machine.register(&pool, true);
        }
    }
}
