/** What one test in the VM is, and what they all need. Each leaves the VM as it found it. */
import { setTimeout as wait } from 'node:timers/promises';
import { nodeBinary } from './install.ts';
import type { Machine } from './machine.ts';

export interface VmCase {
  readonly name: string;
  /** Throws where it is not so. Resolves with figures worth a line, if any. */
  readonly run: (vm: Machine) => Promise<string | undefined>;
}

export const agentUnit = 'felhom-agent.service';

/** Asks until it is so. Throws with `seen` where it is not in time. */
export async function until(
  what: string,
  seconds: number,
  so: () => Promise<boolean>,
  seen?: () => Promise<string>,
): Promise<void> {
  const last = performance.now() + seconds * 1000;
  while (!(await so())) {
    if (performance.now() > last)
      throw new Error(`${what}: not within ${seconds} s${seen === undefined ? '' : `\n${await seen()}`}`);
    await wait(100);
  }
}

/** A property of a unit, as `systemctl show` tells it. */
export const property = (vm: Machine, unit: string, name: string): Promise<string> =>
  vm.must(`systemctl show --value -p ${name} ${unit}`);

/** The agent started and ready; in the VM that takes seconds. */
export async function startAgent(vm: Machine): Promise<void> {
  const { code } = await vm.run(`systemctl start ${agentUnit}`);
  if (code !== 0) throw new Error(`the agent does not start:\n${await journalOf(vm)}`);
}

export const journalOf = async (vm: Machine, unit = 'felhom-*'): Promise<string> =>
  (await vm.run(`journalctl -q --no-pager -o short-monotonic -n 30 -u '${unit}'`)).stdout;

/** What root answers to each document, asked by this user. */
export async function askRoot(vm: Machine, user: string, documents: readonly string[]): Promise<readonly string[]> {
  const as = `setpriv --reuid=${user} --regid=${user === 'nobody' ? 'nogroup' : user} --clear-groups --no-new-privs`;
  const said = await vm.must(`${as} ${nodeBinary} /usr/local/lib/ask-root.mjs /run/felhom-root/helper.sock`, {
    input: JSON.stringify(documents),
    timeoutMs: 900_000,
  });
  return JSON.parse(said) as string[];
}
