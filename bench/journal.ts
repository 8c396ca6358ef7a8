/**
 * What it costs to write down an intent before acting on it: appends to the journal as the agent opens it (a real file,
 * WAL, synchronous=FULL), against the disk's own rate of making the same bytes durable.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { openJournal, systemClock, systemRandom } from '@felhom/agent';
import type { Journal } from '@felhom/agent';
import { labGuest } from '@felhom/lab';
import type { Section } from './section.ts';
import { figure, median, ratio, withWobble } from './statistics.ts';

type SagaRecord = Parameters<Journal['append']>[0][number];

export const journal: Section = {
  name: 'journal',
  title: 'The journal',
  run: ({ quick, tell }) => {
    const rounds = quick ? 3 : 9;
    const perRound = quick ? 100 : 400;
    // On the disk of the repository: /tmp may be memory.
    const folder = mkdtempSync(resolve(import.meta.dirname, '../.bench-'));
    try {
      const store = openJournal({ directory: join(folder, 'state'), clock: systemClock(), random: systemRandom() });
      const raw = openSync(join(folder, 'raw'), 'w+');
      const bytes = bytesPerAppend(store, join(folder, 'state'));
      const appends: number[] = [];
      const syncs: number[] = [];
      const sagas: number[] = [];
      const documents: number[] = [];
      try {
        for (let round = 0; round <= rounds; round++) {
          tell(`round ${round} of ${rounds}`);
          const [append, sync] = [
            msEach(perRound, (n) => store.append([intent(`s${round}-${n}`)])),
            msEach(perRound, (n) => {
              // Round and round in the same place, as the write-ahead log is: growing a file costs more.
              writeSync(raw, Buffer.alloc(bytes, round), 0, bytes, (n % 500) * bytes);
              fdatasyncSync(raw);
            }),
          ];
          const whole = msEach(quick ? 3 : 10, (n) => wholeSaga(store, `w${round}-${n}`));
          const document = msEach(quick ? 20 : 100, (n) =>
            // Another content each time: the same again would cost nothing.
            store.put({ key: `guest/${n}`, v: 1, body: labGuest(`g${n}-${round}`) }),
          );
          if (round === 0) continue;
          appends.push(append);
          syncs.push(sync);
          sagas.push(whole);
          documents.push(document);
        }
      } finally {
        closeSync(raw);
        store.close();
      }
      return Promise.resolve({
        tables: [
          {
            title: 'Milliseconds each, and how often that fits into a second',
            columns: ['what', 'ms', 'per second', 'to a raw sync'],
            rows: (
              [
                [`raw: write ${bytes} bytes, fdatasync`, syncs],
                ['append one record', appends],
                ['put one guest record', documents],
                [`a whole bring-up, ${sagaRecords.length} appends`, sagas],
              ] as const
            ).map(([what, ms]) => [what, withWobble(ms), figure(1000 / median(ms)), ratio(median(ms), median(syncs))]),
          },
        ],
        notes: [
          `One append grows the write-ahead log by ${bytes} bytes (pages and frame headers); the raw peer makes as many durable.`,
          'A bring-up writes intent, handle and outcome of each of its eleven steps, all of them before or right after a call.',
        ],
        figures: {
          'raw-sync-ms': median(syncs),
          'append-ms': median(appends),
          'document-ms': median(documents),
          'saga-ms': median(sagas),
          'append-bytes': bytes,
        },
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

function msEach(times: number, work: (n: number) => void): number {
  const began = performance.now();
  for (let n = 0; n < times; n++) work(n);
  return (performance.now() - began) / times;
}

/** How much the log on disk grows by one append. */
function bytesPerAppend(store: Journal, directory: string): number {
  const log = join(directory, 'journal.db-wal');
  const before = statSync(log).size;
  const appends = 20;
  for (let n = 0; n < appends; n++) store.append([intent(`b${n}`)]);
  return Math.round((statSync(log).size - before) / appends);
}

const intent = (saga: string): SagaRecord => ({
  v: 1,
  at: Date.now(),
  saga,
  kind: 'step-intent',
  step: 'mounts',
  value: { mountsBefore: ['guests:vm-9001-disk-0'] },
});

const steps = [
  'assess',
  'restore',
  'audit',
  'identity',
  'size',
  'mounts',
  'network',
  'start',
  'up',
  'enable',
  'register',
] as const;
const upid = 'UPID:pve1:0003C9D2:00B1E9F4:674298A1:vzrestore:9001:felhom-agent@pve!agent:';

type Without<T> = T extends unknown ? Omit<T, 'v' | 'at' | 'saga'> : never;

/** What a bring-up leaves behind, in order, one append each. */
const sagaRecords: readonly Without<Extract<SagaRecord, { saga: string }>>[] = [
  {
    kind: 'saga-started',
    name: 'bring-up',
    version: 1,
    params: { desired: labGuest('bench') },
    lanes: ['guest:bench', 'storage:guests'],
    purpose: 'change',
  },
  ...steps.flatMap((step) => [
    { kind: 'step-intent' as const, step, value: { since: 1_795_000_000, candidates: [9001, 9002, 9003] } },
    ...(step === 'restore' || step === 'start' ? [{ kind: 'step-handle' as const, step, handle: upid }] : []),
    { kind: 'step-outcome' as const, step, outcome: { is: 'done' as const, value: { vmid: 9001, warnings: [] } } },
  ]),
  { kind: 'saga-ended', end: { is: 'completed' } },
];

function wholeSaga(store: Journal, saga: string): void {
  for (const record of sagaRecords) store.append([{ v: 1, at: Date.now(), saga, ...record }]);
}
