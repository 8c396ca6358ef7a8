/** Plays one trick on a host of its own and judges it. */
import { gainsOf, gapsOf, lookAt } from './judge.ts';
import { setUp } from './target.ts';
import { minute } from './trick.ts';
import type { Trick } from './trick.ts';

export interface Verdict {
  readonly name: string;
  /** What the hub wants by it. */
  readonly gain: string;
  /** What the hub got, and what nobody would have found out; empty = it failed, in the open. */
  readonly got: readonly string[];
  /** It could not be played to its end, so it says nothing. */
  readonly broken: string | undefined;
}

/** Longer than cool-off, quarantine and back-off of a removal in these worlds. */
const aftermathMs = 2 * minute;

export async function runTrick(trick: Trick, folder: string): Promise<Verdict> {
  const { name, gain } = trick;
  try {
    const host = await setUp(trick, folder);
    let before = lookAt(host);
    const target = { ...host, asMeant: () => (before = { ...lookAt(host), seen: before.seen }) };
    const heard: string[] = [];
    target.world.hub.onPoll = (request) => void heard.push(JSON.stringify(request));
    await trick.play(target);
    await target.pass(aftermathMs);
    const got = [...gainsOf(trick, target, before, heard), ...gapsOf(trick, target, before)];
    await target.world.clock.runUntil(target.agent().stop());
    target.world.cut();
    return { name, gain, got, broken: undefined };
  } catch (error) {
    return {
      name,
      gain,
      got: [],
      broken: error instanceof Error ? (error.stack ?? error.message) : String(error),
    };
  }
}

/** The hub got something, or nobody can say that it did not. */
export const isBad = ({ got, broken }: Verdict): boolean => broken !== undefined || got.length > 0;
