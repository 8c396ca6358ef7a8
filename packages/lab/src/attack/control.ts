/**
 * Honest work, played on the same host and judged by the same eyes. If the judge does not see that a guest is gone, or
 * if two people cannot remove one, then nothing that fails here says anything.
 */
import { gainsOf, lookAt } from './judge.ts';
import { setUp } from './target.ts';
import { minute } from './trick.ts';

/** Answers what is wrong with the suite; nothing when it can be believed. */
export async function checkTheJudge(folder: string): Promise<string | undefined> {
  const target = await setUp({ real: true }, folder);
  const before = lookAt(target);
  const { vmid, name } = target.guest('photos');
  await target.deliver(target.removal([target.cast.alice, target.cast.bob]).envelope);
  const isGone = (): boolean => !target.world.node.guests.exists(vmid);
  const removed = await target.world.until(isGone, 30 * minute);
  const seen = gainsOf(
    { name: 'control', gain: '', leaves: { nothing: '' }, play: async () => {} },
    target,
    before,
    [],
  );
  const jobs = JSON.stringify(target.agent().report().jobs);
  await target.world.clock.runUntil(target.agent().stop());
  target.world.cut();
  if (!removed) return `two people signed the removal of ${name} and it is still there: ${jobs}`;
  if (!seen.some((line) => line.includes(`guest ${vmid}`))) return `guest ${vmid} is gone and the judge did not see it`;
  return undefined;
}
