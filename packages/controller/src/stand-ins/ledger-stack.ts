/**
 * The stacks of a guest without Docker: one ledger. As with real stacks, what stands still goes on standing over a restart
 * of the guest until somebody lets it go on, and what people stopped stays stopped.
 */
import { z } from 'zod';
import { guestPaths } from '../paths.ts';
import type { Apps, Clock, Done, GuestFiles } from '../ports.ts';
import { readRecord, writeRecord } from '../record.ts';
import type { RecordKind } from '../record.ts';
import { createLedger } from './ledger.ts';
import type { LedgerOptions } from './ledger.ts';

const stackState = z.enum(['running', 'standing', 'stopped']);
const record: RecordKind<{ v: 1; state: z.output<typeof stackState> }> = {
  path: `${guestPaths.home}/ledger-stack.json`,
  schema: z.object({ v: z.literal(1), state: stackState }),
};

export const ledgerStack = 'ledger';
const done: Done = { is: 'done' };

export interface LedgerStackOptions extends LedgerOptions {
  /** The guest is only looked at: apps run and write nothing. */
  readonly readOnly: boolean;
}

/** Starts what ran before; resolves when it does. */
export async function openLedgerStack(
  needs: { readonly files: GuestFiles; readonly clock: Clock },
  options: LedgerStackOptions,
): Promise<Apps & { close(): Promise<void> }> {
  const { files } = needs;
  const ledger = createLedger(needs, options);
  const held = await readRecord(files, record);
  let state = held.is === 'held' ? held.value.state : 'running';
  const become = async (next: typeof state): Promise<Done> => {
    if (next !== state) await writeRecord(files, record, { v: 1, state: next });
    state = next;
    if (next === 'running' && !options.readOnly) ledger.start();
    if (next !== 'running') await ledger.stop();
    return done;
  };
  if (held.is !== 'held' && !options.readOnly) await writeRecord(files, record, { v: 1, state });
  await become(state);
  const isOurs = (stack: string): boolean => stack === ledgerStack;
  const unknown = (stack: string): Done => ({ is: 'failed', text: `there is no stack ${stack}` });
  return {
    running: async () => (state === 'running' ? [ledgerStack] : []),
    stopped: async () => (state === 'stopped' ? [ledgerStack] : []),
    // The state is on record before the books close: what stands half-way still has to be let go on.
    quiesce: async (stacks) => (state === 'running' && stacks.some(isOurs) ? become('standing') : done),
    unquiesce: async (stacks) =>
      state === 'standing' && (stacks === 'all' || stacks.some(isOurs)) ? become('running') : done,
    start: async (stack) => (isOurs(stack) ? become('running') : unknown(stack)),
    stop: async (stack) => (isOurs(stack) ? become('stopped') : unknown(stack)),
    health: async () => (state === 'running' ? 'healthy' : 'unhealthy'),
    close: () => ledger.stop(),
  };
}
