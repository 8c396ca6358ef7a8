/** Who signs in the lab: three people, so that two of them are not everybody. */
export const labPeople = ['alice', 'bob', 'carol'] as const;
export type LabPerson = (typeof labPeople)[number];
