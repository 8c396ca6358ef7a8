/** The agent under systemd: it comes up, it is ended when it hangs, it stays in its memory. */
import assert from 'node:assert/strict';
import { agentUnit, journalOf, property, startAgent, until } from '../case.ts';
import type { VmCase } from '../case.ts';

export const reachesReady: VmCase = {
  name: 'the agent is ready without Proxmox and without a configuration, and says that it is degraded',
  async run(vm) {
    const start = performance.now();
    await startAgent(vm);
    const seconds = (performance.now() - start) / 1000;
    assert.equal(await property(vm, agentUnit, 'ActiveState'), 'active');
    assert.match(await property(vm, agentUnit, 'StatusText'), /^degraded: /);
    const pid = await property(vm, agentUnit, 'MainPID');
    assert.equal(await vm.must(`stat -c %U /proc/${pid}`), 'felhom');
    return `${seconds.toFixed(1)} s from start to READY`;
  },
};

/** The unit's own patience is a minute; the test has less. */
const shortWatchdog = 20;

export const watchdogEndsAHungAgent: VmCase = {
  name: 'an agent that hangs is ended by its watchdog and started again',
  async run(vm) {
    const folder = `/run/systemd/system/${agentUnit}.d`;
    await vm.must(`mkdir -p ${folder} && printf '[Service]\\nWatchdogSec=${shortWatchdog}s\\n' > ${folder}/test.conf`);
    await vm.must(`systemctl daemon-reload && systemctl restart ${agentUnit}`);
    try {
      const pid = await property(vm, agentUnit, 'MainPID');
      await vm.must(`kill -STOP ${pid}`);
      const start = performance.now();
      await until(
        'another agent runs and is ready',
        300,
        async () => {
          // Both at once: between two questions it may have been ended and begun again.
          const said = await vm.must(`systemctl show -p ActiveState -p MainPID ${agentUnit}`);
          return /^ActiveState=active$/m.test(said) && !new RegExp(`^MainPID=(?:0|${pid})$`, 'm').test(said);
        },
        () => journalOf(vm),
      );
      assert.match(await journalOf(vm), /Watchdog timeout/);
      assert.equal((await vm.run(`kill -0 ${pid}`)).code, 1, 'the hung one is still there');
      return `${((performance.now() - start) / 1000).toFixed(1)} s from SIGSTOP to READY, of which ${shortWatchdog} s are the watchdog`;
    } finally {
      await vm.must(`rm ${folder}/test.conf && systemctl daemon-reload`);
    }
  },
};

export const memoryIsLimited: VmCase = {
  name: 'what takes too much memory in the unit of the agent is killed there, alone',
  async run(vm) {
    await startAgent(vm);
    const group = `/sys/fs/cgroup${await property(vm, agentUnit, 'ControlGroup')}`;
    const limit = Number(await vm.must(`cat ${group}/memory.max`));
    assert.equal(limit, 768 * 2 ** 20);
    const kills = async (): Promise<number> =>
      Number(/^oom_kill (\d+)$/m.exec(await vm.must(`cat ${group}/memory.events`))?.[1]);
    const [before, pid] = [await kills(), await property(vm, agentUnit, 'MainPID')];
    // One line that never ends has to be kept whole.
    const hog = `echo 0 > /proc/self/oom_score_adj; echo $$ > ${group}/cgroup.procs; exec tail -n 1 /dev/zero`;
    const ended = await vm.must(`sh -c '${hog}'; echo $?`);
    assert.equal(ended.split('\n').at(-1), '137', ended);
    assert.equal(await kills(), before + 1);
    assert.equal(await property(vm, agentUnit, 'MainPID'), pid, 'the agent itself was ended');
    return `limit ${limit / 2 ** 20} MiB, the agent itself takes ${Math.round(Number(await vm.must(`cat ${group}/memory.current`)) / 2 ** 20)} MiB`;
  },
};
