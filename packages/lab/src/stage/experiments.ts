/** What a person can do to the lab once it stands. Every choice is told, done, and watched until it has settled. */
import { createInterface } from 'node:readline/promises';
import type { Scene } from '../scenarios/scenario.ts';

export async function offerExperiments(scene: Scene): Promise<void> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  terminal.close();
  await Promise.resolve(scene);
}
