// SPDX-License-Identifier: Apache-2.0
using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Runai.GpuMemory.Tests;

/// <summary>Finds types and members that another file uses and that have no summary, internal ones too, which the
/// compiler's own check (CS1591) does not see. Exempt are private members, overrides and implementations of an
/// interface, whose base says it, and constructors and parameters of records, of which the type's own comment says
/// what they are. A use is a name, whatever it is part of; operators and indexers have none.</summary>
static partial class Summaries
{
    /// <summary>The implicit usings of the plugin's SDK (Microsoft.NET.Sdk.Web), some of which the wrapper's SDK has
    /// too.</summary>
    static readonly string Usings = string.Concat(
        new[]
        {
            "System",
            "System.Collections.Generic",
            "System.IO",
            "System.Linq",
            "System.Net.Http",
            "System.Net.Http.Json",
            "System.Threading",
            "System.Threading.Tasks",
            "Microsoft.AspNetCore.Builder",
            "Microsoft.AspNetCore.Hosting",
            "Microsoft.AspNetCore.Http",
            "Microsoft.AspNetCore.Routing",
            "Microsoft.Extensions.Configuration",
            "Microsoft.Extensions.DependencyInjection",
            "Microsoft.Extensions.Hosting",
            "Microsoft.Extensions.Logging",
        }.Select(name => $"global using global::{name};\n")
    );

    /// <summary>What this process could load: the framework and the packages of both programs.</summary>
    static readonly MetadataReference[] References =
    [
        .. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!)
            .Split(':')
            .Where(path => Path.GetFileName(path) != "runai-gpu-memory.dll")
            .Select(path => MetadataReference.CreateFromFile(path)),
    ];

    [GeneratedRegex(@"<summary>\s*[^\s<]|<summary>\s*<(?!/)|<inheritdoc\b")]
    private static partial Regex Summary();

    /// <summary>The files as one program. What source generators would add is not in it.</summary>
    public static CSharpCompilation Compile(IEnumerable<(string Path, string Text)> files)
    {
        var options = new CSharpParseOptions(LanguageVersion.Latest, DocumentationMode.Parse);
        return CSharpCompilation.Create(
            "plugin",
            files
                .Append((Path: "usings", Text: Usings))
                .Select(file => CSharpSyntaxTree.ParseText(file.Text, options, file.Path)),
            References,
            new(OutputKind.ConsoleApplication, allowUnsafe: true)
        );
    }

    /// <returns>Lines such as <c>plugin/Gpu/Nvml.cs:47: Nvml.Count has no summary</c>.</returns>
    public static IReadOnlyList<string> FindMissing(CSharpCompilation program)
    {
        var models = program.SyntaxTrees.Select(tree => program.GetSemanticModel(tree)).ToArray();
        var bare = models
            .SelectMany(DeclaredIn)
            .Where(symbol => NeedsSummary(symbol) && !HasSummary(symbol))
            .ToLookup(symbol => symbol.Name);
        var found =
            from model in models
            from name in model.SyntaxTree.GetRoot().DescendantNodes().OfType<SimpleNameSyntax>()
            where bare.Contains(name.Identifier.ValueText)
            from symbol in UsedBy(model.GetSymbolInfo(name))
            where IsDeclaredElsewhere(symbol, model.SyntaxTree) && bare[symbol.Name].Contains(symbol, Comparer)
            select Describe(symbol);
        return [.. found.Distinct().Order(StringComparer.Ordinal)];
    }

    static readonly SymbolEqualityComparer Comparer = SymbolEqualityComparer.Default;

    static IEnumerable<ISymbol> DeclaredIn(SemanticModel model) =>
        model
            .SyntaxTree.GetRoot()
            .DescendantNodes()
            .Where(node => node is MemberDeclarationSyntax or VariableDeclaratorSyntax)
            .Select(node => model.GetDeclaredSymbol(node))
            .Where(symbol =>
                symbol is INamedTypeSymbol or IMethodSymbol or IPropertySymbol or IFieldSymbol or IEventSymbol
            )
            .OfType<ISymbol>();

    static bool NeedsSummary(ISymbol symbol) =>
        symbol is { DeclaredAccessibility: not Accessibility.Private, IsOverride: false, IsImplicitlyDeclared: false }
        && !IsImplementation(symbol);

    static bool IsImplementation(ISymbol symbol) =>
        symbol.ContainingType is { TypeKind: not TypeKind.Interface } type
        && type.AllInterfaces.SelectMany(one => one.GetMembers())
            .Any(one => Comparer.Equals(type.FindImplementationForInterfaceMember(one), symbol));

    static bool HasSummary(ISymbol symbol) => Summary().IsMatch(symbol.GetDocumentationCommentXml() ?? "");

    /// <summary>Several where what generators add is missing: which of them is meant is not known.</summary>
    static IEnumerable<ISymbol> UsedBy(SymbolInfo info) =>
        (info.Symbol is { } one ? [one] : info.CandidateSymbols)
            .Select(symbol =>
                symbol switch
                {
                    IMethodSymbol { MethodKind: MethodKind.Constructor } constructor => constructor.ContainingType,
                    IMethodSymbol { ReducedFrom: { } extension } => extension,
                    _ => symbol,
                }
            )
            .Select(symbol => symbol.OriginalDefinition);

    static bool IsDeclaredElsewhere(ISymbol symbol, SyntaxTree tree) =>
        symbol.DeclaringSyntaxReferences.All(reference => reference.SyntaxTree != tree);

    static string Describe(ISymbol symbol)
    {
        var place = symbol.Locations[0].GetLineSpan();
        var name = symbol.ContainingType is { } type ? $"{type.Name}.{symbol.Name}" : symbol.Name;
        return $"{place.Path}:{place.StartLinePosition.Line + 1}: {name} has no summary";
    }
}
