// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Policies;

/// <summary>Reads the value of a key on which <paramref name="json"/> stands into the policy.</summary>
delegate PolicySettings PolicyKeyReader(PolicySettings policy, ref PolicyJson json);
