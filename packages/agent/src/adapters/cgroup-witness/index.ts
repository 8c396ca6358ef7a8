/** The cgroup witness: implements `ports/guest-witness` on the host's cgroup tree. Reads only, as an ordinary user. */
export { createCgroupWitness } from './cgroup-witness.ts';
