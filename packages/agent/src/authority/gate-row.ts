/** The shape of one row of the gate's table. */
import type { EffectClass } from '@felhom/protocol';

export type GateVerdict =
  /** Converges unsigned. */
  | 'unsigned'
  /** Unsigned inside the ranges of the root-owned policy file. */
  | 'ranged'
  /** An operator's signature, whether it arrives as a job or as a difference of desired state. */
  | 'signed'
  /** Reported; nothing is ever done about it unasked. */
  | 'finding-only'
  /** Root on the box decides; no wire carries it. */
  | 'never-from-hub'
  /** The whole document is refused and the last good one kept. */
  | 'refused-document'
  /** No schema has a field for it. */
  | 'not-in-schema';

/** The piece of work that brings what the row is about. Until then it is refused, saying so. */
export type GatePiece = 'now' | 'backups' | 'host' | 'shipping' | 'enrolment';

/** What the blast radius counts together: distinct guests per rolling 24 h. */
export type BlastGroup = 'create' | 'power' | 'capacity' | 'volumes' | 'connection' | 'protection' | 'display';

export interface GateRow {
  readonly section: 'desired-state' | 'job' | 'local-route';
  /** Position in the section of the rule book's table; a line with two verdicts is two rows. */
  readonly line: number;
  readonly what: string;
  readonly verdict: GateVerdict;
  /** Strictest first. Empty: none of the four gates. */
  readonly classes: readonly EffectClass[];
  /** Fewest distinct people who must sign. The trust policy may ask for more, never for fewer. */
  readonly signers: number | 'of-the-saga' | 'highest-touched';
  /** What a signature names besides host, epoch and challenge. */
  readonly binds: readonly string[];
  /** Divert rows alone relax, and only to `ranged`: a guest that never served has nobody to cut off [R15]. */
  readonly beforeServed: 'same' | 'ranged';
  /** What happens above the range: refused, or asked of the operator. */
  readonly beyondRange: 'refuse' | 'sign';
  /** `undefined`: not counted (start, backup, housekeeping). */
  readonly blast: BlastGroup | undefined;
  /** Whether it goes on under hold: backups and what ends a hold do. */
  readonly underHold: 'stopped' | 'goes-on';
  /** What an identity that is likely but not proven still permits. */
  readonly unproven: 'stopped' | 'if-only-volumes-differ' | 'goes-on';
  /** `record`: it changes what is kept about a guest, so whether the guest itself is seen and proven is no matter. */
  readonly reaches: 'guest' | 'record';
  readonly availableSince: GatePiece;
  /** The limits in words, where they are not the policy file's. */
  readonly limits?: string;
}

type Extra = Partial<Omit<GateRow, 'section' | 'line' | 'what' | 'verdict'>>;

const base = {
  signers: 1,
  binds: [],
  beforeServed: 'same',
  beyondRange: 'refuse',
  blast: undefined,
  underHold: 'stopped',
  unproven: 'stopped',
  reaches: 'guest',
  availableSince: 'now',
} as const satisfies Extra;

/** Row makers of one section. */
export function rowsOf(section: GateRow['section']) {
  const row =
    (verdict: GateVerdict) =>
    (line: number, what: string, extra: Extra = {}): GateRow => ({
      ...base,
      section,
      line,
      what,
      verdict,
      classes: [],
      ...extra,
    });
  return {
    unsigned: row('unsigned'),
    ranged: row('ranged'),
    findingOnly: row('finding-only'),
    neverFromHub: row('never-from-hub'),
    refusedDocument: row('refused-document'),
    notInSchema: row('not-in-schema'),
    signed: (line: number, what: string, classes: readonly EffectClass[], extra: Extra = {}): GateRow => ({
      ...base,
      section,
      line,
      what,
      verdict: 'signed',
      classes,
      ...extra,
    }),
  };
}
