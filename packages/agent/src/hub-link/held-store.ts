/**
 * The held document across restarts. What is stored is the exact text with its digest, read back through the same
 * schema as on the day it came: a record that no longer reads is a finding, never an empty desired state.
 */
import { z } from 'zod';
import { digest as digestSchema, digestOfText, parseVersionedJson, reason } from '@felhom/protocol';
import { desiredStateKind } from './adopt-desired.ts';
import type { Held } from './adopt-desired.ts';

/** One durable document; the composition root binds it to the journal. */
export interface HeldStateStore {
  get(): string | undefined;
  /** Durable when it returns. */
  put(text: string): void;
}

const heldRecord = z.strictObject({
  v: z.literal(1),
  digest: digestSchema,
  receivedAt: z.number().int().min(0),
  text: z.string(),
});

export function storeHeld(store: Pick<HeldStateStore, 'put'>, held: Extract<Held, { is: 'held' }>): void {
  const record: z.input<typeof heldRecord> = {
    v: 1,
    digest: held.digest,
    receivedAt: held.receivedAt,
    text: held.text,
  };
  store.put(JSON.stringify(record));
}

export function loadHeld(store: Pick<HeldStateStore, 'get'>): Held {
  const stored = store.get();
  if (stored === undefined) return { is: 'never-received' };
  const record = parseVersionedJson({ what: 'the held desired state', versions: [1], schema: heldRecord }, stored);
  if (record.is !== 'ok') return unreadable(record.text);
  const { digest, receivedAt, text } = record.value;
  if (digestOfText(text) !== digest) return unreadable('cannot read the held desired state: its digest does not match');
  const state = parseVersionedJson(desiredStateKind, text);
  if (state.is !== 'ok') return unreadable(state.text);
  return { is: 'held', state: state.value, digest, receivedAt, text };
}

function unreadable(text: string): Held {
  const why = reason(
    'desired.store-unreadable',
    `${text}. Nothing is planned until a readable document arrives; guests stay as they are`,
  );
  return { is: 'unreadable', why };
}
