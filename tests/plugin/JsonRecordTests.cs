// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Requests;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests;

/// <summary>Generated readers assign null or zero to each <c>init</c> property whose key is absent, whatever its
/// initializer says.</summary>
sealed class JsonRecordTests
{
    static readonly JsonSerializerContext[] Contexts =
    [
        AuthZJson.Default,
        CreateBodyJson.Default,
        EngineJson.Default,
        StateJson.Default,
        StrictBodyJson.Default,
        VolumeJson.Default,
    ];

    /// <summary>Those that can be made without a value: what the others need, they ask for.</summary>
    static IEnumerable<TestCaseData> Records() =>
        from context in Contexts
        from property in context.GetType().GetProperties()
        let type = property.GetValue(context) as JsonTypeInfo
        where type is { Kind: JsonTypeInfoKind.Object } && type.Type.GetConstructor([]) is not null
        select new TestCaseData(type).SetArgDisplayNames(context.GetType().Name, type.Type.Name);

    [TestCaseSource(nameof(Records))]
    public void An_absent_key_leaves_the_default(JsonTypeInfo type)
    {
        var read = JsonSerializer.Deserialize("{}", type)!;
        var made = Activator.CreateInstance(type.Type)!;
        foreach (var property in type.Properties.Where(property => property.Get is not null))
            Assert.That(property.Get!(read), Is.EqualTo(property.Get(made)), property.Name);
    }

    [TestCaseSource(nameof(Records))]
    public void A_null_is_no_value_where_one_is_promised(JsonTypeInfo type)
    {
        foreach (var property in type.Properties.Where(property => property is { IsGetNullable: false, Get: not null }))
            if (!property.PropertyType.IsValueType)
            {
                var read = JsonSerializer.Deserialize($"{{\"{property.Name}\":null}}", type)!;
                Assert.That(property.Get!(read), Is.Not.Null, property.Name);
            }
    }
}
