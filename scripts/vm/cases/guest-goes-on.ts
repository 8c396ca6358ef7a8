/** Guests are none of the agent's children: whatever becomes of it, they serve. */
import assert from 'node:assert/strict';
import { setTimeout as wait } from 'node:timers/promises';
import { agentUnit, property, startAgent, until } from '../case.ts';
import type { VmCase } from '../case.ts';

const folder = '/var/lib/lxc/web';
const config = [
  `lxc.rootfs.path = dir:${folder}/rootfs`,
  'lxc.uts.name = web',
  'lxc.net.0.type = none',
  'lxc.idmap = u 0 100000 65536',
  'lxc.idmap = g 0 100000 65536',
  'lxc.apparmor.profile = unconfined',
  'lxc.init.cmd = /bin/busybox httpd -f -p 127.0.0.1:8099 -h /www',
];

export const guestServesWithoutAgent: VmCase = {
  name: 'a container goes on serving while the agent is stopped and after it was killed',
  async run(vm) {
    await startAgent(vm);
    await vm.must(
      `mkdir -p ${folder}/rootfs/bin ${folder}/rootfs/www && cp /bin/busybox ${folder}/rootfs/bin/ && ` +
        `echo served > ${folder}/rootfs/www/index.html && chown -R 100000:100000 ${folder}/rootfs && ` +
        `chmod 755 ${folder} && cat > ${folder}/config && lxc-start -n web`,
      { input: `${config.join('\n')}\n` },
    );
    try {
      const answers: string[] = [];
      const ask = async (): Promise<boolean> =>
        (await vm.run('curl -sS -m 5 http://127.0.0.1:8099/')).stdout === 'served\n';
      await until('the container serves', 30, ask);
      const group = await vm.must('cat /proc/$(lxc-info -n web -pH)/cgroup');
      assert.doesNotMatch(group, /felhom/);
      const serves = async (when: string): Promise<void> => {
        for (let time = 0; time < 5; time += 1) {
          answers.push(when);
          assert.ok(await ask(), `it does not answer ${when}`);
          await wait(100);
        }
      };
      const init = await vm.must('lxc-info -n web -pH');
      await vm.must(`kill -KILL ${await property(vm, agentUnit, 'MainPID')}`);
      await serves('right after the agent was killed');
      await vm.must(`systemctl stop ${agentUnit} felhom-root.socket`);
      await serves('while the agent is stopped');
      assert.equal(await vm.must('lxc-info -n web -pH'), init);
      return `${answers.length} answers of ${answers.length}`;
    } finally {
      await vm.run(`lxc-stop -k -n web; rm -rf ${folder}`);
      await vm.run('systemctl start felhom-root.socket');
    }
  },
};
